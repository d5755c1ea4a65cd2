// Package awssts mints AWS credentials by assuming a role at AWS STS, or at
// what speaks its API, such as MinIO.
package awssts

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"mintmark/broker/bundle"
	"mintmark/providers"
)

// Bounds of AWS on a session's life.
const (
	minDuration = 15 * time.Minute
	maxDuration = 12 * time.Hour
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
	// SessionName is how the role's trail names the session. {subject_path} is
	// the path of the agent's SPIFFE ID, {trust_domain} its trust domain; with
	// either, each agent has its own credential. Default {subject_path}.
	SessionName string `yaml:"session_name"`
	// Policy is a session policy, as JSON: the credential may do what both it
	// and the role allow.
	Policy string `yaml:"policy"`
	// Duration is how long the session lives: from 15m (default) to 12h.
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
	if d := c.Duration.Duration; d != 0 && (d < minDuration || d > maxDuration || d%time.Second != 0) {
		report("duration", "whole seconds, from 15m to 12h", d.String())
	}
	if c.Policy != "" && !json.Valid([]byte(c.Policy)) {
		report("policy", "a session policy in JSON", fmt.Sprintf("%d bytes that are not", len(c.Policy)))
	}
	if rest := placeholders().Replace(c.SessionName); strings.ContainsFunc(rest, notAllowed) {
		report("session_name", "letters, digits, any of _ + = , . @ - and the placeholders {subject_path} and {trust_domain}", c.SessionName)
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
