// Package kubernetestoken mints tokens of Kubernetes service accounts by the
// TokenRequest API (authentication.k8s.io/v1).
package kubernetestoken

import (
	"strconv"
	"strings"
	"time"

	"mintmark/broker/bundle"
	"mintmark/providers"
)

// Bounds of the API server on a token's life: the upper one is usual, and set by
// --service-account-max-token-expiration.
const (
	defaultTTL = time.Hour
	minTTL     = 10 * time.Minute
	maxTTL     = 24 * time.Hour
)

// extendedTTL is what the kubelet asks for. An API server with
// --service-account-extend-token-expiration, its default, has a token for itself
// that is bound to a Pod last a year then, and answers with this end all the same.
const extendedTTL = 3607 * time.Second

// Config is the registration of one service account.
type Config struct {
	// Address is the API server: https://kubernetes.default.svc.
	Address bundle.URL `yaml:"address" check:"required"`
	// CA is a PEM file of the only roots to trust instead of the system's:
	// /var/run/secrets/kubernetes.io/serviceaccount/ca.crt in a pod.
	CA bundle.Path `yaml:"ca"`
	// Auth is how the broker shows who it is.
	Auth Auth `yaml:"auth" check:"required"`
	// Namespace and ServiceAccount are whose token it is.
	Namespace      string `yaml:"namespace" check:"required"`
	ServiceAccount string `yaml:"service_account" check:"required"`
	// Audiences are whom the token is for. Empty: the API server itself.
	Audiences []string `yaml:"audiences"`
	// TTL is the life to ask for: 10m to 24h, 1h by default. The API server decides.
	TTL bundle.Duration `yaml:"ttl"`
	// BoundObject ends the token with an object.
	BoundObject *BoundObject `yaml:"bound_object"`
}

// Auth holds exactly one way to log in to the API server.
type Auth struct {
	// Token is a reference to a token, read anew for each request: that of the
	// broker's own pod, which Kubernetes renews.
	Token bundle.Ref `yaml:"token"`
	// Certificate shows the broker's X.509-SVID, whose common name is its user.
	Certificate bool `yaml:"certificate"`
	// JWT shows the broker's JWT-SVID, where the API server trusts its issuer.
	JWT *JWT `yaml:"jwt"`
}

// JWT is for whom the broker's JWT-SVID is made.
type JWT struct {
	// Audience is what the API server's authentication configuration names.
	Audience string `yaml:"audience" check:"required"`
}

// BoundObject is the object whose deletion ends the token, in the same namespace.
type BoundObject struct {
	// Kind is Pod, Secret or Node.
	Kind string `yaml:"kind" check:"required"`
	// Name is the object's name.
	Name string `yaml:"name" check:"required"`
	// UID tells the object from a later one of the same name. Empty: whichever there
	// is now.
	UID string `yaml:"uid"`
}

// Validate reports what the fields do not say one by one.
func (c Config) Validate(report func(field, want, got string)) {
	providers.CheckEndpoint(report, "address", c.Address)
	if n := c.Auth.ways(); n != 1 {
		report("auth", "exactly one of token, certificate and jwt", strconv.Itoa(n))
	}
	if !isLabel(c.Namespace) {
		report("namespace", "the name of a namespace", strconv.Quote(c.Namespace))
	}
	if !isSubdomain(c.ServiceAccount) {
		report("service_account", "the name of a service account", strconv.Quote(c.ServiceAccount))
	}
	for i, audience := range c.Audiences {
		if audience == "" {
			report("audiences["+strconv.Itoa(i)+"]", "a name", "nothing")
		}
	}
	if d := c.TTL.Duration; d != 0 && (d < minTTL || d > maxTTL || d%time.Second != 0) {
		report("ttl", "whole seconds, from 10m to 24h", d.String())
	}
	if b := c.BoundObject; b != nil && b.Kind == "Pod" && c.TTL.Duration == extendedTTL {
		report("ttl", "another life than 1h0m7s, for which an API server may make the token of a Pod last a year", c.TTL.String())
	}
	if b := c.BoundObject; b != nil && b.Kind != "Pod" && b.Kind != "Secret" && b.Kind != "Node" {
		report("bound_object.kind", "Pod, Secret or Node", strconv.Quote(b.Kind))
	}
}

func (a Auth) ways() int {
	n := 0
	for _, given := range []bool{!a.Token.IsZero(), a.Certificate, a.JWT != nil} {
		if given {
			n++
		}
	}
	return n
}

// isLabel reports whether s is a DNS label (RFC 1123), which every server reads
// alike in a path.
func isLabel(s string) bool {
	return s != "" && len(s) <= 63 && s[0] != '-' && s[len(s)-1] != '-' &&
		!strings.ContainsFunc(s, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' })
}

func isSubdomain(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if !isLabel(label) {
			return false
		}
	}
	return len(s) <= 253
}

// Mints says what the provider makes; see bundle.Minter.
func (Config) Mints() string { return string(providers.Token) }
