package vault

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"

	"mintmark/internal/fault"
	"mintmark/providers"
)

// Fields says what of an answer is the credential. Each is a template in which
// {name} stands for the text in that field of the answer's data, and {a.b} for
// field b of the object in a: "{username}:{password}". A list of texts counts as
// its lines. Exactly one of the four kinds is given: Token; Username and
// Password; the AWS keys; Certificate, Key and perhaps Chain.
type Fields struct {
	Token string `yaml:"token"`

	Username string `yaml:"username"`
	Password string `yaml:"password"`

	AccessKeyID     string `yaml:"access_key_id"`
	SecretAccessKey string `yaml:"secret_access_key"`
	SessionToken    string `yaml:"session_token"` // may be left out

	Certificate string `yaml:"certificate"` // PEM
	Key         string `yaml:"key"`         // PEM
	Chain       string `yaml:"chain"`       // PEM; may be left out

	// ExpiresIn names the field that says for how many seconds a credential
	// without a lease is good.
	ExpiresIn string `yaml:"expires_in"`
}

// kind returns the one kind of credential that f makes, or "".
func (f Fields) kind() providers.Kind {
	given := map[providers.Kind]bool{
		providers.Token:    f.Token != "",
		providers.Password: f.Username+f.Password != "",
		providers.AWS:      f.AccessKeyID+f.SecretAccessKey+f.SessionToken != "",
		providers.X509:     f.Certificate+f.Key+f.Chain != "",
	}
	var found providers.Kind
	for kind, yes := range given {
		if yes && found != "" {
			return ""
		}
		if yes {
			found = kind
		}
	}
	return found
}

func (f Fields) validate(report func(field, want, got string)) {
	secret := map[string]string{}
	switch f.kind() {
	case providers.Token:
		secret["token"] = f.Token
	case providers.Password:
		secret["password"] = f.Password
		if f.Username == "" {
			report("dynamic.fields.username", "a template beside password", "none")
		}
	case providers.AWS:
		secret["access_key_id"], secret["secret_access_key"] = f.AccessKeyID, f.SecretAccessKey
	case providers.X509:
		secret["certificate"], secret["key"] = f.Certificate, f.Key
	default:
		report("dynamic.fields", "one kind of credential: token; username and password; access_key_id and secret_access_key; or certificate and key", "none or several")
	}
	for _, name := range sorted(secret) {
		if !placeholder().MatchString(secret[name]) {
			report("dynamic.fields."+name, `a template with a field of the answer, such as "{token}": a secret does not stand in the registration`, "none")
		}
	}
	all := map[string]string{"token": f.Token, "username": f.Username, "password": f.Password, "access_key_id": f.AccessKeyID,
		"secret_access_key": f.SecretAccessKey, "session_token": f.SessionToken, "certificate": f.Certificate, "key": f.Key, "chain": f.Chain, "expires_in": f.ExpiresIn}
	for _, name := range sorted(all) {
		if strings.ContainsAny(placeholder().ReplaceAllString(all[name], ""), "{}") {
			report("dynamic.fields."+name, `a template such as "{name}", with a closing brace for each opening one`, "others")
		}
	}
}

func placeholder() *regexp.Regexp { return regexp.MustCompile(`\{[^{}]+\}`) }

// material makes of the answer's data what f says.
func (f Fields) material(data map[string]any) (providers.Material, error) {
	switch f.kind() {
	case providers.Token:
		token, err := fillSecret(f.Token, data)
		return providers.Material{Token: token}, err
	case providers.Password:
		username, err := fill(f.Username, data)
		if err != nil {
			return providers.Material{}, err
		}
		password, err := fillSecret(f.Password, data)
		return providers.Material{Username: username, Password: password}, err
	case providers.AWS:
		return f.aws(data)
	}
	return f.x509(data)
}

func (f Fields) aws(data map[string]any) (m providers.Material, err error) {
	if m.AccessKeyID, err = fill(f.AccessKeyID, data); err != nil {
		return providers.Material{}, err
	}
	if m.SecretAccessKey, err = fillSecret(f.SecretAccessKey, data); err != nil {
		return providers.Material{}, err
	}
	if f.SessionToken == "" {
		return m, nil
	}
	m.SessionToken, err = fillSecret(f.SessionToken, data)
	return m, err
}

func fillSecret(template string, data map[string]any) (providers.Secret, error) {
	value, err := fill(template, data)
	if err != nil {
		return providers.Secret{}, err
	}
	return providers.NewSecret(value), nil
}

// fill fills a template with fields of data. Its errors name the field and the
// type found, never the value.
func fill(template string, data map[string]any) (string, error) {
	var missing error
	filled := placeholder().ReplaceAllStringFunc(template, func(name string) string {
		value, err := text(data, strings.Trim(name, "{}"))
		if err != nil {
			missing = err
		}
		return value
	})
	if missing != nil {
		return "", missing
	}
	return filled, nil
}

// text returns a field that must be text and not empty, or a list of that.
func text(data map[string]any, field string) (string, error) {
	value := find(data, field)
	switch v := value.(type) {
	case string:
		if v != "" {
			return v, nil
		}
	case []any:
		if lines, ok := texts(v); ok {
			return strings.Join(lines, "\n"), nil
		}
	}
	return "", lacks(field, "text", value)
}

func texts(list []any) (lines []string, ok bool) {
	for _, item := range list {
		line, isText := item.(string)
		if !isText || line == "" {
			return nil, false
		}
		lines = append(lines, line)
	}
	return lines, len(lines) > 0
}

// find returns the value of a field, or nil. A name with dots that is not a
// field's own goes into objects.
func find(data map[string]any, field string) any {
	if value, ok := data[field]; ok {
		return value
	}
	head, tail, nested := strings.Cut(field, ".")
	if !nested {
		return nil
	}
	inner, _ := data[head].(map[string]any)
	return find(inner, tail)
}

// seconds returns a field that must be a number of seconds above zero.
func seconds(data map[string]any, field string) (time.Duration, error) {
	value := find(data, strings.Trim(field, "{}"))
	number, _ := value.(json.Number)
	n, err := number.Int64()
	if err != nil || n <= 0 || n > int64((1<<62)/time.Second) {
		return 0, lacks(field, "a number of seconds above zero", value)
	}
	return time.Duration(n) * time.Second, nil
}

func lacks(field, want string, value any) error {
	return fault.Wrap("lease", fault.Internal, "the secret at its provider lacks a field that the broker is told to use",
		fmt.Errorf("read field %q: got %s, want %s", field, typeName(value), want))
}

func typeName(v any) string {
	switch v.(type) {
	case nil:
		return "nothing"
	case string:
		return "empty text"
	case map[string]any:
		return "an object"
	case []any:
		return "a list"
	}
	return "a number or boolean"
}
