package vault

import (
	"maps"
	"slices"
	"strings"

	"mintmark/broker/bundle"
)

// Auth is how the broker logs in: Namespace, and exactly one of the others.
type Auth struct {
	// Namespace is that of the auth method, where it is another than that of the
	// credentials; root is the one above all.
	Namespace string `yaml:"namespace"`
	// JWT logs in with the broker's own JWT-SVID, so that it holds no secret.
	JWT *JWT `yaml:"jwt"`
	// Kubernetes logs in with the token of the broker's service account.
	Kubernetes *Kubernetes `yaml:"kubernetes"`
	// Cert logs in with a client certificate, by default the broker's own
	// X.509-SVID, so that it holds no secret.
	Cert *Cert `yaml:"cert"`
	// AppRole logs in with a secret-id that is delivered wrapped.
	AppRole *AppRole `yaml:"approle"`
	// Token is a Vault token. For development: it is a stored secret.
	Token bundle.Ref `yaml:"token"`
}

// JWT is a role of Vault's JWT auth method.
type JWT struct {
	// Mount is where the auth method is mounted. Default jwt.
	Mount string `yaml:"mount"`
	// Role is the role to log in as.
	Role string `yaml:"role" check:"required"`
	// Audience is what the role's bound_audiences names.
	Audience string `yaml:"audience" check:"required"`
}

// Kubernetes is a role of Vault's Kubernetes auth method.
type Kubernetes struct {
	// Mount is where the auth method is mounted. Default kubernetes.
	Mount string `yaml:"mount"`
	// Role is the role to log in as.
	Role string `yaml:"role" check:"required"`
	// TokenFile holds the service account's token, and is read for each login.
	// Default /var/run/secrets/kubernetes.io/serviceaccount/token.
	TokenFile bundle.Path `yaml:"token_file"`
}

// Cert is a role of Vault's TLS certificate auth method.
type Cert struct {
	// Mount is where the auth method is mounted. Default cert.
	Mount string `yaml:"mount"`
	// Role is the role to log in as; Vault tries each of its own where it is empty.
	Role string `yaml:"role"`
	// Certificate and Key are PEM files of a certificate that is not the
	// broker's own X.509-SVID. They are read for each login.
	Certificate bundle.Path `yaml:"certificate"`
	Key         bundle.Path `yaml:"key"`
}

// AppRole is a role of Vault's AppRole auth method.
type AppRole struct {
	// Mount is where the auth method is mounted. Default approle.
	Mount string `yaml:"mount"`
	// Role is the role's name: a secret-id of another's is refused.
	Role string `yaml:"role" check:"required"`
	// RoleID is the role's id.
	RoleID bundle.Ref `yaml:"role_id" check:"required"`
	// WrappedSecretID is the response-wrapping token of a secret-id, good once.
	WrappedSecretID bundle.Ref `yaml:"wrapped_secret_id" check:"required"`
}

func (a Auth) validate(report func(field, want, got string)) {
	given := names(map[string]bool{"jwt": a.JWT != nil, "kubernetes": a.Kubernetes != nil, "cert": a.Cert != nil, "approle": a.AppRole != nil, "token": !a.Token.IsZero()})
	if strings.Contains(given, ",") || given == "none" {
		report("auth", "exactly one of jwt, kubernetes, cert, approle and token", given)
	}
	if a.JWT != nil {
		checkPath(report, "auth.jwt.mount", a.JWT.Mount)
	}
	if a.Kubernetes != nil {
		checkPath(report, "auth.kubernetes.mount", a.Kubernetes.Mount)
	}
	if a.Cert != nil {
		checkPath(report, "auth.cert.mount", a.Cert.Mount)
		if (a.Cert.Certificate == "") != (a.Cert.Key == "") {
			report("auth.cert.key", "certificate and key together, or neither", "one alone")
		}
	}
	if a.AppRole != nil {
		checkPath(report, "auth.approle.mount", a.AppRole.Mount)
		checkPath(report, "auth.approle.role", a.AppRole.Role)
	}
}

// usesSelf reports whether the login needs an identity of the broker's own, and
// which setting says so.
func (a Auth) usesSelf() (setting string, yes bool) {
	switch {
	case a.JWT != nil:
		return "auth.jwt", true
	case a.Cert != nil && a.Cert.Certificate == "":
		return "auth.cert without files", true
	}
	return "", false
}

// names lists what is given, or says that nothing is.
func names(given map[string]bool) string {
	var found []string
	for _, name := range sorted(given) {
		if given[name] {
			found = append(found, name)
		}
	}
	if len(found) == 0 {
		return "none"
	}
	return strings.Join(found, ", ")
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
