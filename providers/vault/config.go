// Package vault mints credentials from HashiCorp Vault and what speaks its API,
// such as OpenBao: secrets of a key-value engine, users that the database engine
// makes for the occasion, and what any other engine makes.
package vault

import (
	"fmt"
	"strings"

	"mintmark/broker/bundle"
	"mintmark/providers"
)

// Config is the registration of one credential kept or made by Vault: exactly
// one of KV1, KV2, Database and Dynamic says which.
//
// In a path or role {subject_path} is the path of the agent's SPIFFE ID, with
// "," for "/", and {trust_domain} its trust domain; with either, each agent has
// its own credential.
type Config struct {
	// Address is Vault's own: https://vault.example.org:8200.
	Address bundle.URL `yaml:"address" check:"required"`
	// Namespace is the Vault namespace of every path here. A server that says it
	// has none gives no credential.
	Namespace string `yaml:"namespace"`
	// CA is a PEM file of the only roots to trust instead of the system's.
	CA bundle.Path `yaml:"ca"`
	// ServerName is the name that Vault's certificate has, where that is not the
	// host of Address.
	ServerName string `yaml:"server_name"`
	// Auth is how the broker logs in.
	Auth Auth `yaml:"auth" check:"required"`
	// KV1 and KV2 read a secret that people keep in Vault.
	KV1 *KV `yaml:"kv1"`
	KV2 *KV `yaml:"kv2"`
	// Database makes a database user that lives as long as its lease.
	Database *Database `yaml:"database"`
	// Dynamic reads or writes any path that answers with a credential.
	Dynamic *Dynamic `yaml:"dynamic"`
}

// KV is one secret of a key-value engine of version 1 or 2: either Field, which
// makes a token, or UsernameField and PasswordField, which make a password.
type KV struct {
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

// Dynamic is a path of any engine. It is written where Data is given or Write
// says so, and read otherwise.
type Dynamic struct {
	// Path is the whole path, with the mount: pki/issue/agents.
	Path string `yaml:"path" check:"required"`
	// Write writes although there is no Data.
	Write bool `yaml:"write"`
	// Data is written. A value may have the placeholders of paths and {agent},
	// the agent's SPIFFE ID; {subject_path} keeps its "/" there, since many engines
	// take what has "," in it for a list.
	Data map[string]string `yaml:"data"`
	// Fields says what of the answer is the credential.
	Fields Fields `yaml:"fields" check:"required"`
}

// Validate reports what the fields do not say one by one.
func (c Config) Validate(report func(field, want, got string)) {
	providers.CheckEndpoint(report, "address", c.Address)
	given := names(map[string]bool{"kv1": c.KV1 != nil, "kv2": c.KV2 != nil, "database": c.Database != nil, "dynamic": c.Dynamic != nil})
	if strings.Contains(given, ",") || given == "none" {
		report("kv2", "exactly one of kv1, kv2, database and dynamic", given)
	}
	c.Auth.validate(report)
	if c.Auth.Cert != nil && c.Address.URL != nil && c.Address.Scheme != "https" {
		report("auth.cert", "an https address, where a certificate can be shown", c.Address.Redacted())
	}
	if c.KV1 != nil {
		c.KV1.validate(report, "kv1")
	}
	if c.KV2 != nil {
		c.KV2.validate(report, "kv2")
	}
	if c.Database != nil {
		checkPath(report, "database.mount", c.Database.Mount)
		checkTemplate(report, "database.role", c.Database.Role)
	}
	if c.Dynamic != nil {
		c.Dynamic.validate(report)
	}
}

func (k KV) validate(report func(field, want, got string), at string) {
	checkPath(report, at+".mount", k.Mount)
	checkTemplate(report, at+".path", k.Path)
	user, password := k.UsernameField != "", k.PasswordField != ""
	if user != password || (k.Field != "") == user {
		given := names(map[string]bool{"field": k.Field != "", "username_field": user, "password_field": password})
		report(at+".field", "either field, or both username_field and password_field", given)
	}
}

func (d Dynamic) validate(report func(field, want, got string)) {
	checkTemplate(report, "dynamic.path", d.Path)
	for _, key := range sorted(d.Data) {
		providers.CheckText(report, "dynamic.data."+key, d.Data[key])
	}
	d.Fields.validate(report)
}

// checkTemplate reports a path whose own text, or whose placeholders, are none.
func checkTemplate(report func(field, want, got string), field, path string) {
	providers.CheckName(report, field, path)
	checkPath(report, field, strings.NewReplacer("{subject_path}", "x", "{trust_domain}", "x").Replace(path))
}

// checkPath reports a path that would mean another one once it is in a URL.
func checkPath(report func(field, want, got string), field, path string) {
	if path != "" && climbs(path) != nil {
		report(field, `a path such as "team/app", without empty, "." or ".." segments`, path)
	}
}

// climbs returns an error where path would mean another one once it is in a URL.
func climbs(path string) error {
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" || segment == "." || segment == ".." || strings.ContainsAny(segment, "?#%\\\x00") {
			return fmt.Errorf(`got segment %q, want none that is empty, "." or ".." or has any of ? # %% \`, segment)
		}
	}
	return nil
}

// Mints says what the provider makes; see bundle.Minter.
func (c Config) Mints() string {
	switch {
	case c.Dynamic != nil:
		return string(c.Dynamic.Fields.kind())
	case c.KV1 != nil && c.KV1.Field != "", c.KV2 != nil && c.KV2.Field != "":
		return string(providers.Token)
	}
	return string(providers.Password)
}
