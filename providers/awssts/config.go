// Package awssts mints AWS credentials by assuming a role at AWS STS, or at
// what speaks its API, such as MinIO.
package awssts

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"mintmark/broker/bundle"
	"mintmark/providers"
)

// Bounds of AWS on a session's life.
const (
	minDuration   = 15 * time.Minute
	maxDuration   = 12 * time.Hour
	maxChained    = time.Hour // of a session that another session began
	maxPolicyARNs = 10
	maxExternalID = 1224
)

// Config is the registration of one role. The broker shows who it is by exactly
// one of WebIdentity, and AccessKeyID with SecretAccessKey.
type Config struct {
	// Region signs the request, and names the endpoint where Endpoint does not.
	Region string `yaml:"region" check:"required"`
	// Endpoint replaces the region's own: https://sts.example.org.
	Endpoint bundle.URL `yaml:"endpoint"`
	// CA is a PEM file of the only roots to trust instead of the system's.
	CA bundle.Path `yaml:"ca"`
	// RoleARN is the role to assume.
	RoleARN string `yaml:"role_arn" check:"required"`
	// Chain is the roles to assume before it, one with the session of the other.
	Chain []string `yaml:"chain"`
	// SessionName is how the role's trail names the session. {subject_path} is
	// the path of the agent's SPIFFE ID, {trust_domain} its trust domain; with
	// either, each agent has its own credential. Default {subject_path}.
	SessionName string `yaml:"session_name"`
	// SourceIdentity is who AWS shows behind the session and all that it begins.
	// The same placeholders. Not with WebIdentity alone: AWS takes it from the
	// token there.
	SourceIdentity string `yaml:"source_identity"`
	// ExternalID is what the role's trust policy may ask for (sts:ExternalId), where
	// the role is another organisation's. It is no secret. Not with WebIdentity alone.
	ExternalID string `yaml:"external_id"`
	// Tags are session tags, for policies and the trail. The same placeholders,
	// and {agent}, the agent's SPIFFE ID. Not with WebIdentity alone, as above.
	Tags map[string]string `yaml:"tags"`
	// TransitiveTags names the tags that sessions begun by this one inherit.
	TransitiveTags []string `yaml:"transitive_tags"`
	// Policy is a session policy, as JSON: the credential may do what both it
	// and the role allow. The same placeholders as SessionName.
	Policy string `yaml:"policy"`
	// PolicyARNs are managed policies that limit the session as Policy does.
	PolicyARNs []string `yaml:"policy_arns"`
	// Duration is how long the session lives: from 15m (default) to 12h, or 1h at
	// the end of a Chain.
	Duration bundle.Duration `yaml:"duration"`
	// AccessKeyID and SecretAccessKey are a key that may assume the role. They
	// are stored secrets: prefer WebIdentity.
	AccessKeyID     bundle.Ref `yaml:"access_key_id"`
	SecretAccessKey bundle.Ref `yaml:"secret_access_key"`
	// WebIdentity assumes the role with the broker's own JWT-SVID, so that it
	// holds no secret.
	WebIdentity *WebIdentity `yaml:"web_identity"`
}

// WebIdentity is for whom the broker's JWT-SVID is made.
type WebIdentity struct {
	// Audience is what the role's trust policy names: sts.amazonaws.com.
	Audience string `yaml:"audience" check:"required"`
}

// Validate reports what the fields do not say one by one.
func (c Config) Validate(report func(field, want, got string)) {
	providers.CheckEndpoint(report, "endpoint", c.Endpoint)
	c.validateSelf(report)
	c.validateDuration(report)
	c.validatePolicy(report)
	for _, role := range c.Chain {
		checkARN(report, "chain", role)
	}
	if c.RoleARN != "" { // else it is said to be missing
		checkARN(report, "role_arn", c.RoleARN)
	}
	checkName(report, "session_name", c.SessionName)
	checkName(report, "source_identity", c.SourceIdentity)
	c.validateExternalID(report)
	c.validateTags(report)
}

func (c Config) validateExternalID(report func(field, want, got string)) {
	if c.ExternalID == "" {
		return
	}
	if c.WebIdentity != nil && len(c.Chain) == 0 {
		report("external_id", "none with web_identity, where AWS takes none: add a chain", c.ExternalID)
	}
	other := func(r rune) bool { return notAllowed(r) && r != ':' && r != '/' }
	if n := len(c.ExternalID); n < minName || n > maxExternalID || strings.ContainsFunc(c.ExternalID, other) {
		report("external_id", "2 to 1224 letters, digits and any of _ + = , . @ : / -", c.ExternalID)
	}
}

func (c Config) validateDuration(report func(field, want, got string)) {
	d := c.Duration.Duration
	if d != 0 && (d < minDuration || d > maxDuration || d%time.Second != 0) {
		report("duration", "whole seconds, from 15m to 12h", d.String())
	}
	if len(c.Chain) > 0 && d > maxChained {
		report("duration", "at most 1h, which is AWS's own bound where there is a chain", d.String())
	}
}

func (c Config) validatePolicy(report func(field, want, got string)) {
	if c.Policy != "" && !json.Valid([]byte(c.Policy)) {
		report("policy", "a session policy in JSON, with placeholders inside its texts", fmt.Sprintf("%d bytes that are not", len(c.Policy)))
	}
	providers.CheckName(report, "policy", c.Policy)
	if len(c.PolicyARNs) > maxPolicyARNs || slices.Contains(c.PolicyARNs, "") {
		report("policy_arns", "at most 10 ARNs of managed policies", fmt.Sprintf("%q", c.PolicyARNs))
	}
}

// checkARN reports what no server can take for the ARN of a role: they differ in
// what comes after "arn:".
func checkARN(report func(field, want, got string), field, arn string) {
	if !strings.HasPrefix(arn, "arn:") {
		report(field, "the ARN of a role, such as arn:aws:iam::123456789012:role/reports", fmt.Sprintf("%q", arn))
	}
}

// checkName reports what AWS does not allow in a name, or what may be two agents'.
func checkName(report func(field, want, got string), field, template string) {
	providers.CheckApart(report, field, template)
	if rest := providers.WithoutPlaceholders(template); strings.ContainsFunc(rest, notAllowed) {
		report(field, "letters, digits, any of _ + = , . @ - and the placeholders {subject_path} and {trust_domain}", template)
	}
}

func (c Config) validateSelf(report func(field, want, got string)) {
	id, secret := !c.AccessKeyID.IsZero(), !c.SecretAccessKey.IsZero()
	switch {
	case id != secret:
		report("access_key_id", "access_key_id and secret_access_key together", "one alone")
	case id && c.WebIdentity != nil:
		report("web_identity", "either web_identity or an access key", "both")
	case !id && c.WebIdentity == nil:
		report("web_identity", "either web_identity or an access key", "none")
	}
}

// Mints says what the provider makes; see bundle.Minter.
func (Config) Mints() string { return string(providers.AWS) }
