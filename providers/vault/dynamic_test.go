package vault_test

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"mintmark/broker/bundle"
	"mintmark/internal/fault"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
	"mintmark/providers/vault"
)

func dynamic(t *testing.T, d *double, registered vault.Dynamic) vault.Config {
	c := kv2(t, d)
	c.KV2, c.Dynamic = nil, &registered
	return c
}

func TestFieldsMakeEachKindOfCredential(t *testing.T) {
	tests := map[string]struct {
		fields vault.Fields
		data   string
		kind   providers.Kind
		want   []string // username, token, password, secret key, session token
		fault  string
	}{
		"token":              {vault.Fields{Token: "{token}"}, `{"token":"t-` + canary + `"}`, providers.Token, []string{"", "t-" + canary, "", "", ""}, ""},
		"token of parts":     {vault.Fields{Token: "{id}.{in.key}"}, `{"id":"i","in":{"key":"` + canary + `"}}`, providers.Token, []string{"", "i." + canary, "", "", ""}, ""},
		"name with a dot":    {vault.Fields{Token: "{tls.key}"}, `{"tls.key":"` + canary + `","tls":{"key":"x"}}`, providers.Token, []string{"", canary, "", "", ""}, ""},
		"not filled again":   {vault.Fields{Token: "{a}{b}"}, `{"a":"{b}","b":"` + canary + `"}`, providers.Token, []string{"", "{b}" + canary, "", "", ""}, ""},
		"password":           {vault.Fields{Username: "oauth2", Password: "{token}"}, `{"token":"` + canary + `"}`, providers.Password, []string{"oauth2", "", canary, "", ""}, ""},
		"aws":                {vault.Fields{AccessKeyID: "{access_key}", SecretAccessKey: "{secret_key}", SessionToken: "{security_token}"}, `{"access_key":"AK","secret_key":"` + canary + `","security_token":"s` + canary + `"}`, providers.AWS, []string{"AK", "", "", canary, "s" + canary}, ""},
		"aws, lasting":       {vault.Fields{AccessKeyID: "{access_key}", SecretAccessKey: "{secret_key}"}, `{"access_key":"AK","secret_key":"` + canary + `","security_token":null}`, providers.AWS, []string{"AK", "", "", canary, ""}, ""},
		"aws without its":    {vault.Fields{AccessKeyID: "{access_key}", SecretAccessKey: "{secret_key}", SessionToken: "{security_token}"}, `{"access_key":"AK","secret_key":"` + canary + `","security_token":null}`, "", nil, `field "security_token": got nothing`},
		"missing":            {vault.Fields{Token: "{token}"}, `{"other":"` + canary + `"}`, "", nil, `field "token": got nothing`},
		"empty":              {vault.Fields{Token: "{token}"}, `{"token":""}`, "", nil, `field "token": got empty text`},
		"an object":          {vault.Fields{Token: "{token}"}, `{"token":{"x":"` + canary + `"}}`, "", nil, `field "token": got an object`},
		"a number":           {vault.Fields{Token: "{token}"}, `{"token":7}`, "", nil, `field "token": got a number`},
		"a list of mixed":    {vault.Fields{Token: "{token}"}, `{"token":["x",1]}`, "", nil, `field "token": got a list`},
		"an empty list":      {vault.Fields{Token: "{token}"}, `{"token":[]}`, "", nil, `field "token": got a list`},
		"into text":          {vault.Fields{Token: "{a.b}"}, `{"a":"` + canary + `"}`, "", nil, `field "a.b": got nothing`},
		"no life":            {vault.Fields{Token: "{token}", ExpiresIn: "ttl"}, `{"token":"` + canary + `"}`, "", nil, `field "ttl": got nothing`},
		"life in words":      {vault.Fields{Token: "{token}", ExpiresIn: "ttl"}, `{"token":"x","ttl":"` + canary + `"}`, "", nil, `field "ttl"`},
		"no life left":       {vault.Fields{Token: "{token}", ExpiresIn: "ttl"}, `{"token":"x","ttl":0}`, "", nil, `field "ttl"`},
		"life of all time":   {vault.Fields{Token: "{token}", ExpiresIn: "ttl"}, `{"token":"x","ttl":9223372036854775807}`, "", nil, `field "ttl"`},
		"no certificate":     {vault.Fields{Certificate: "{c}", Key: "{k}"}, `{"c":"` + canary + `","k":"` + canary + `"}`, "", nil, "got no PEM certificate"},
		"certificate of air": {vault.Fields{Certificate: "{c}", Key: "{k}"}, `{"c":"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----","k":"` + canary + `"}`, "", nil, "does not parse"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d := newDouble(t)
			d.on("any/path", answer(200, `{"data":`+tt.data+`}`))
			r := providertest.One(t, open(t, dynamic(t, d, vault.Dynamic{Path: "any/path", Fields: tt.fields}), providers.Env{}), canary)
			defer r.Stop(t)
			if tt.fault != "" {
				r.Refused(t, providers.Request{}, fault.Internal)
				if reason := r.Records(t)[0].Reason; !strings.Contains(reason, tt.fault) {
					t.Errorf("reason: got %q, want %q", reason, tt.fault)
				}
				return
			}
			c, _ := r.Must(t, providers.Request{})
			o := r.Reveal(t, c)
			if got := []string{o.Username(), o.Token(), o.Password(), o.SecretAccessKey(), o.SessionToken()}; c.Kind() != tt.kind || !slices.Equal(got, tt.want) {
				t.Errorf("got another %s than the answer's", c.Kind())
			}
		})
	}
}

func TestDynamicPathAndDataNameTheAgent(t *testing.T) {
	tests := map[string]struct {
		registered vault.Dynamic
		asked      string
		body       map[string]any
		perAgent   bool
	}{
		"read":           {vault.Dynamic{Path: "kubernetes/creds/x"}, "GET kubernetes/creds/x", nil, false},
		"write nothing":  {vault.Dynamic{Path: "kubernetes/creds/x", Write: true}, "PUT kubernetes/creds/x", map[string]any{}, false},
		"path":           {vault.Dynamic{Path: "kv/{trust_domain}/{subject_path}"}, "GET kv/a.test/ns,prod,sa,bot", nil, true},
		"data":           {vault.Dynamic{Path: "pki/issue/x", Data: map[string]string{"uri_sans": "{agent}", "ttl": "5m"}}, "PUT pki/issue/x", map[string]any{"uri_sans": botID, "ttl": "5m"}, true},
		"data in part":   {vault.Dynamic{Path: "ssh/issue/x", Data: map[string]string{"valid_principals": "{trust_domain}/{subject_path}"}}, "PUT ssh/issue/x", map[string]any{"valid_principals": "a.test/ns/prod/sa/bot"}, true},
		"data of no one": {vault.Dynamic{Path: "pki/issue/x", Data: map[string]string{"ttl": "5m"}}, "PUT pki/issue/x", map[string]any{"ttl": "5m"}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d := newDouble(t)
			var body map[string]any
			_, path, _ := strings.Cut(tt.asked, " ")
			d.on(path, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPut && json.NewDecoder(r.Body).Decode(&body) != nil {
					t.Error("got no JSON")
				}
				answer(200, `{"data":{"token":"`+canary+`"}}`)(w, r)
			})
			tt.registered.Fields = vault.Fields{Token: "{token}"}
			p := open(t, dynamic(t, d, tt.registered), providers.Env{})
			if got := p.(providers.AgentBound).PerAgent(); got != tt.perAgent {
				t.Errorf("per agent: got %t, want %t", got, tt.perAgent)
			}
			c, err := p.Mint(t.Context(), providertest.Agent(t, botID))
			if err != nil {
				t.Fatal(err)
			}
			if d.count(tt.asked+" ") != 1 || !reflect.DeepEqual(body, tt.body) || !slices.Equal(c.Scopes(), []string{path}) {
				t.Errorf("got %v with %v, scopes %v; want %s with %v", d.asked, body, c.Scopes(), tt.asked, tt.body)
			}
		})
	}
}

// Two agents never get one another's credential, though the registration is one.
func TestEachAgentHasItsOwnSecret(t *testing.T) {
	d := newDouble(t)
	d.on("secret/data/ns,prod,sa,bot", answer(200, `{"data":{"data":{"key":"first-`+canary+`"}}}`))
	d.on("secret/data/ns,prod,sa,bot2", answer(200, `{"data":{"data":{"key":"second-`+canary+`"}}}`))
	c := kv2(t, d)
	c.KV2.Path = "{subject_path}"
	r := providertest.One(t, open(t, c, providers.Env{}), canary)
	defer r.Stop(t)
	for _, tt := range [][2]string{{botID, "first-"}, {botID + "2", "second-"}, {botID, "first-"}} {
		leased, _ := r.Must(t, providertest.Agent(t, tt[0]))
		if !strings.HasPrefix(r.Reveal(t, leased).Token(), tt[1]) {
			t.Errorf("%s: got another agent's secret", tt[0])
		}
	}
	if _, _, err := r.Lease(t.Context(), "db", providers.Request{}); fault.KindOf(err) != fault.Unauthenticated {
		t.Errorf("nobody: got %v, want it refused", err)
	}
	asked := len(d.asked)
	for _, id := range []string{"spiffe://a.test", "spiffe://a.test/other"} {
		if _, _, err := r.Lease(t.Context(), "db", providertest.Agent(t, id)); err == nil {
			t.Errorf("%s: got a credential, want none", id)
		}
	}
	if got := len(d.asked) - asked; got != 1 {
		t.Errorf("got %d requests, want none for the agent without a path", got)
	}
}

func TestDynamicRules(t *testing.T) {
	token := vault.Fields{Token: "{token}"}
	tests := map[string]struct {
		registered vault.Dynamic
		want       []string
	}{
		"as it is":              {vault.Dynamic{Path: "a/b/{subject_path}", Fields: token}, nil},
		"climbs":                {vault.Dynamic{Path: "a/../b", Fields: token}, []string{"dynamic.path"}},
		"of two agents":         {vault.Dynamic{Path: "a/{trust_domain}-{subject_path}", Fields: token}, []string{"dynamic.path"}},
		"climbs by placeholder": {vault.Dynamic{Path: "a/{subject_path}/../..", Fields: token}, []string{"dynamic.path"}},
		"whole agent in a path": {vault.Dynamic{Path: "a/{agent}", Fields: token}, []string{"dynamic.path"}},
		"unknown in a path":     {vault.Dynamic{Path: "a/{role}", Fields: token}, []string{"dynamic.path"}},
		"unknown in data":       {vault.Dynamic{Path: "a", Data: map[string]string{"x": "{Agent}"}, Fields: token}, []string{"dynamic.data.x"}},
		"no fields":             {vault.Dynamic{Path: "a"}, []string{"dynamic.fields"}},
		"two kinds":             {vault.Dynamic{Path: "a", Fields: vault.Fields{Token: "{t}", Password: "{p}"}}, []string{"dynamic.fields"}},
		"password alone":        {vault.Dynamic{Path: "a", Fields: vault.Fields{Password: "{p}"}}, []string{"dynamic.fields.username"}},
		"username alone":        {vault.Dynamic{Path: "a", Fields: vault.Fields{Username: "{p}"}}, []string{"dynamic.fields.password"}},
		"a secret in the file":  {vault.Dynamic{Path: "a", Fields: vault.Fields{Username: "bob", Password: "hunter22"}}, []string{"dynamic.fields.password"}},
		"half of aws":           {vault.Dynamic{Path: "a", Fields: vault.Fields{SessionToken: "{t}"}}, []string{"dynamic.fields.access_key_id", "dynamic.fields.secret_access_key"}},
		"certificate alone":     {vault.Dynamic{Path: "a", Fields: vault.Fields{Certificate: "{c}"}}, []string{"dynamic.fields.key"}},
		"brace left open":       {vault.Dynamic{Path: "a", Fields: vault.Fields{Token: "{t}{u"}}, []string{"dynamic.fields.token"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := providertest.Faults(dynamic(t, newDouble(t), tt.registered)); !slices.Equal(got, tt.want) {
				t.Errorf("faults: got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestAuthRules(t *testing.T) {
	ref := providertest.Ref(t, "x")
	tests := map[string]struct {
		auth vault.Auth
		want []string
	}{
		"kubernetes":            {vault.Auth{Kubernetes: &vault.Kubernetes{Role: "r"}}, nil},
		"kubernetes, climbing":  {vault.Auth{Kubernetes: &vault.Kubernetes{Role: "r", Mount: "../x"}}, []string{"auth.kubernetes.mount"}},
		"cert":                  {vault.Auth{Cert: &vault.Cert{}}, nil},
		"cert, half a pair":     {vault.Auth{Cert: &vault.Cert{Key: "k.pem"}}, []string{"auth.cert.key"}},
		"approle":               {vault.Auth{AppRole: &vault.AppRole{Role: "r", RoleID: ref, WrappedSecretID: ref}}, nil},
		"approle, climbing":     {vault.Auth{AppRole: &vault.AppRole{Role: "r/../x", RoleID: ref, WrappedSecretID: ref}}, []string{"auth.approle.role"}},
		"namespace alone":       {vault.Auth{Namespace: "n"}, []string{"auth"}},
		"certificate and token": {vault.Auth{Cert: &vault.Cert{}, Token: ref}, []string{"auth"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := kv2(t, newDouble(t))
			c.Address, c.Auth = providertest.URL(t, "https://vault.example.org"), tt.auth
			if got := providertest.Faults(c); !slices.Equal(got, tt.want) {
				t.Errorf("faults: got %v, want %v", got, tt.want)
			}
		})
	}
	own := kv2(t, newDouble(t))
	own.Auth = vault.Auth{Cert: &vault.Cert{}}
	if got := providertest.Faults(own); !slices.Equal(got, []string{"auth.cert"}) {
		t.Errorf("cert without TLS: got faults %v", got)
	}
	if p, err := vault.Open(own, providers.Env{}); err == nil || p != nil {
		t.Errorf("cert without an identity: got %v, %v, want an error", p, err)
	}
}

// The broker's own secrets are read for each login, and their trouble is named.
func TestOwnSecretsThatCannotBeRead(t *testing.T) {
	missing := providertest.Parse[bundle.Ref](t, "file:/nonexistent/secret")
	for name, auth := range map[string]vault.Auth{
		"service account": {Kubernetes: &vault.Kubernetes{Role: "r", TokenFile: "/nonexistent/token"}},
		"certificate":     {Cert: &vault.Cert{Certificate: "/nonexistent/a", Key: "/nonexistent/b"}},
		"role id":         {AppRole: &vault.AppRole{Role: "r", RoleID: missing, WrappedSecretID: missing}},
		"secret id":       {AppRole: &vault.AppRole{Role: "r", RoleID: providertest.Ref(t, "x"), WrappedSecretID: missing}},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDouble(t)
			c := kv2(t, d)
			c.Auth = auth
			p, err := vault.Open(c, providers.Env{}) // a certificate would need TLS, if it came to that
			if err != nil {
				t.Fatal(err)
			}
			_, err = p.Mint(t.Context(), providers.Request{})
			if fault.HintOf(err) != "the broker cannot read its own secret for the credential provider" || len(d.asked) != 0 {
				t.Errorf("got %v after %v, want the trouble named and nothing asked", err, d.asked)
			}
		})
	}
}

// A path that would climb is refused even where nobody has checked the registration.
func TestPathThatClimbsIsNotAskedFor(t *testing.T) {
	bot := providertest.Agent(t, botID)
	for _, path := range []string{"a/../{subject_path}", "a//{subject_path}", "a/{subject_path}?x"} {
		if got, err := vault.FillPath(path, bot); err == nil || got != "" {
			t.Errorf("%s: got %q, %v, want an error", path, got, err)
		}
	}
}

// What Vault made without a lease, and the broker refuses, is good there: it is on record.
func TestWhatIsRefusedWithoutALeaseStaysKnown(t *testing.T) {
	for name, tt := range map[string]struct {
		answer        string
		registered    func(*testing.T, *double) vault.Config
		reason, until string
	}{
		"no life":                    {`{"data":{"token":"` + canary + `","ttl":0}}`, timed, `field "ttl"`, providertest.UntilUnknown},
		"a life in words":            {`{"data":{"token":"` + canary + `","ttl":"long"}}`, timed, `field "ttl"`, providertest.UntilUnknown},
		"neither a life nor a token": {`{"data":{"ttl":0}}`, timed, `field "ttl"`, ""},
		"a user without a lease":     {`{"data":{"username":"u","password":"` + canary + `"}}`, database, "without a lease", providertest.UntilUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDouble(t)
			d.on("auth/jwt/login", answer(200, `{"auth":{"client_token":"t","lease_duration":900}}`))
			d.on("database/creds/ro", answer(200, tt.answer))
			providertest.StaysKnown(t, open(t, tt.registered(t, d), providers.Env{Self: &self{}}), tt.reason, tt.until, canary)
		})
	}
}

// timed is a path whose answer says how long its token is good.
func timed(t *testing.T, d *double) vault.Config {
	c := database(t, d)
	c.Database, c.Dynamic = nil, &vault.Dynamic{Path: "database/creds/ro", Fields: vault.Fields{Token: "{token}", ExpiresIn: "ttl"}}
	return c
}

// A certificate is held with its own key, and to its end.
func TestACertificateIsHeldWithItsKeyToItsEnd(t *testing.T) {
	certificate, own := ownCertificate(t)
	_, others := ownCertificate(t)
	block, _ := pem.Decode([]byte(certificate))
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	for key, hint := range map[string]string{own: "", others: "vault gave no usable certificate"} {
		d := newDouble(t)
		data, err := json.Marshal(map[string]any{"data": map[string]string{"certificate": certificate, "private_key": key}})
		if err != nil {
			t.Fatal(err)
		}
		d.on("pki/issue/agents", answer(200, string(data)))
		c := dynamic(t, d, vault.Dynamic{Path: "pki/issue/agents", Fields: vault.Fields{Certificate: "{certificate}", Key: "{private_key}"}})
		minted, err := open(t, c, providers.Env{}).Mint(t.Context(), providers.Request{})
		if fault.HintOf(err) != hint || (err == nil) != (hint == "") {
			t.Errorf("got %v, want the hint %q", err, hint)
		}
		if err == nil && !minted.NotAfter().Equal(leaf.NotAfter) {
			t.Errorf("got an end at %v, want the certificate's, %v", minted.NotAfter(), leaf.NotAfter)
		}
	}
}
