// Package vault mints credentials from HashiCorp Vault and what speaks its API,
// such as OpenBao: secrets of a version 2 key-value engine, and users that the
// database engine makes for the occasion.
package vault

import (
	"strings"

	"mintmark/broker/bundle"
	"mintmark/providers"
)

// Config is the registration of one credential kept or made by Vault: exactly
// one of KV2 and Database says which.
type Config struct {
	// Address is Vault's own: https://vault.example.org:8200.
	Address bundle.URL `yaml:"address" check:"required"`
	// Namespace is the Vault namespace of every path here.
	Namespace string `yaml:"namespace"`
	// CA is a PEM file of the only roots to trust instead of the system's.
	CA bundle.Path `yaml:"ca"`
	// Auth is how the broker logs in.
	Auth Auth `yaml:"auth" check:"required"`
	// KV2 reads a secret that people keep in Vault.
	KV2 *KV2 `yaml:"kv2"`
	// Database makes a database user that lives as long as its lease.
	Database *Database `yaml:"database"`
}

// Auth is how the broker logs in: exactly one of its fields.
type Auth struct {
	// JWT logs in with the broker's own JWT-SVID, so that it holds no secret.
	JWT *JWT `yaml:"jwt"`
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

// KV2 is one secret of a version 2 key-value engine: either Field, which makes
// a token, or UsernameField and PasswordField, which make a password.
type KV2 struct {
	// Mount is where the engine is mounted. Default secret.
	Mount string `yaml:"mount"`
	// Path is the secret's path in the engine, without "data/".
	Path string `yaml:"path" check:"required"`
	// Field names the value that is the token.
	Field string `yaml:"field"`
	// UsernameField and PasswordField name the values of a password.
	UsernameField string `yaml:"username_field"`
	PasswordField string `yaml:"password_field"`
}

// Database is one role of the database engine.
type Database struct {
	// Mount is where the engine is mounted. Default database.
	Mount string `yaml:"mount"`
	// Role is the role whose users are made.
	Role string `yaml:"role" check:"required"`
}

// Validate reports what the fields do not say one by one.
func (c Config) Validate(report func(field, want, got string)) {
	providers.CheckEndpoint(report, "address", c.Address)
	if (c.KV2 == nil) == (c.Database == nil) {
		report("kv2", "exactly one of kv2 and database", both(c.KV2 != nil))
	}
	if (c.Auth.JWT == nil) == c.Auth.Token.IsZero() {
		report("auth", "exactly one of jwt and token", both(c.Auth.JWT != nil))
	}
	if c.Auth.JWT != nil {
		checkPath(report, "auth.jwt.mount", c.Auth.JWT.Mount)
	}
	if c.Database != nil {
		checkPath(report, "database.mount", c.Database.Mount)
		checkPath(report, "database.role", c.Database.Role)
	}
	if c.KV2 != nil {
		c.KV2.validate(report)
	}
}

func (k KV2) validate(report func(field, want, got string)) {
	checkPath(report, "kv2.mount", k.Mount)
	checkPath(report, "kv2.path", k.Path)
	user, password := k.UsernameField != "", k.PasswordField != ""
	if user != password || (k.Field != "") == user {
		report("kv2.field", "either field, or both username_field and password_field", k.given())
	}
}

func (k KV2) given() string {
	var names []string
	for name, value := range map[string]string{"field": k.Field, "username_field": k.UsernameField, "password_field": k.PasswordField} {
		if value != "" {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

func both(yes bool) string {
	if yes {
		return "both"
	}
	return "none"
}

// checkPath reports a path that would mean another one once it is in a URL.
func checkPath(report func(field, want, got string), field, path string) {
	if path == "" {
		return
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" || segment == "." || segment == ".." || strings.ContainsAny(segment, "?#%\\\x00") {
			report(field, `a path such as "team/app", without empty, "." or ".." segments`, path)
			return
		}
	}
}
