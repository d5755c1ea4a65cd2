package injector

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"mintmark/broker/bundle"
	"mintmark/internal/fault"
	"mintmark/providers"
)

func tokenOf(t *testing.T, value string) providers.Opened {
	t.Helper()
	return opened(t, providers.Token, providers.Material{Token: providers.NewSecret(value)})
}

func openScheme(t *testing.T, i bundle.Injection) Scheme {
	t.Helper()
	s, err := Open(i)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Every scheme that a registration may ask for can be opened, and refuses a
// credential of a shape that it can't use, without a trace of it.
func TestEverySchemeOpensAndRefuses(t *testing.T) {
	none := opened(t, providers.X509, providers.Material{Chain: [][]byte{{1}}, Key: providers.NewPrivateKey(signingKey(t))})
	token := tokenOf(t, "tok-0123456789")
	for _, name := range bundle.InjectionSchemes() {
		t.Run(name, func(t *testing.T) {
			s := openScheme(t, bundle.Injection{Scheme: name, Header: "X-Key", Parameter: "key", Cookie: "sid", Field: "token", Region: "eu", Service: "s3"})
			with := none
			if name == "mtls" {
				with = token
			}
			out := outgoing([]byte(`{"a":1}`))
			out.Header.Set("Content-Type", "application/json")
			before, url, body := out.Header.Clone(), *out.URL, string(out.Body)
			if err := s.Inject(out, with); err == nil || strings.Contains(err.Error(), "0123456789") {
				t.Errorf("got %v, want an error without the secret", err)
			}
			if !reflect.DeepEqual(out.Header, before) || *out.URL != url || string(out.Body) != body || out.certificate != nil || out.answered != nil {
				t.Errorf("got %+v, want it as it was", out)
			}
		})
	}
}

func TestQuery(t *testing.T) {
	for name, c := range map[string]struct{ token, template, before, want string }{
		"alone":              {"tok-0123456789", "", "", "api_key=tok-0123456789"},
		"after the agent's":  {"tok-0123456789", "", "a=1&b", "a=1&b&api_key=tok-0123456789"},
		"escaped":            {"a&b=c d+e%f/é", "", "", "api_key=a%26b%3Dc+d%2Be%25f%2F%C3%A9"},
		"filled in a larger": {"tok-0123456789", "Key {token}", "", "api_key=Key+tok-0123456789"},
		"with a line break":  {"a\r\nb", "", "", "api_key=a%0D%0Ab"},
	} {
		t.Run(name, func(t *testing.T) {
			s := openScheme(t, bundle.Injection{Scheme: "query", Parameter: "api_key", Template: c.template})
			out := outgoing(nil)
			shared := out.URL
			shared.RawQuery = c.before
			if err := s.Inject(out, tokenOf(t, c.token)); err != nil {
				t.Fatal(err)
			}
			if out.URL.RawQuery != c.want || out.URL.EscapedPath() != shared.EscapedPath() {
				t.Errorf("got %s, want the query %s", out.URL, c.want)
			}
			if shared.RawQuery != c.before {
				t.Errorf("the registered URL was changed to %s", shared)
			}
		})
	}
}

// The agent's own parameter goes in every spelling that servers read as the same.
func TestStripQueryOfAScheme(t *testing.T) {
	s := openScheme(t, bundle.Injection{Scheme: "query", Parameter: "my.code"})
	const raw = "my.code=1&MY.Code=2&my_code=3&my+code=4&my%20code=5&+my.code=6&my.code[]=7&my.code[a]=8&my[code=9&[my.code]=10&my.code%00x=11&" +
		"%6d%79.code=12&my.code&mycode=a&my-code=e&code=b&my.codes=c&amy.code=d"
	query, stripped, ok := StripQuery(raw, s)
	if want := "code=b&my.codes=c&amy.code=d"; !ok || query != want {
		t.Errorf("got %q, %t, want %q", query, ok, want)
	}
	if len(stripped) != 15 {
		t.Errorf("got %d stripped %q, want 15", len(stripped), stripped)
	}
}

func TestCookie(t *testing.T) {
	s := openScheme(t, bundle.Injection{Scheme: "cookie", Cookie: "sid", Template: "v1.{token}"})
	out := outgoing(nil)
	if err := s.Inject(out, tokenOf(t, "tok-0123456789")); err != nil || !reflect.DeepEqual(out.Header, http.Header{"Cookie": {"sid=v1.tok-0123456789"}}) {
		t.Errorf("got %v, %v, want the one cookie", out.Header, err)
	}
	for _, bad := range []string{"a;b=c", "a b", `a"b`, "a,b", `a\b`, "a\r\nb", "é", "a\x7f"} {
		out := outgoing(nil)
		if err := s.Inject(out, tokenOf(t, bad)); err == nil || len(out.Header) != 0 {
			t.Errorf("%q: got %v, %v, want an error and no cookie", bad, out.Header, err)
		}
	}
	left, stripped := Strip(http.Header{"Cookie": {"a=b", "sid=mine"}, "Cookie2": {"c"}}, true, s)
	if len(left) != 0 || len(stripped) != 2 {
		t.Errorf("got %v left and %v stripped, want all of the agent's cookies gone", left, stripped)
	}
}

func TestBody(t *testing.T) {
	s := openScheme(t, bundle.Injection{Scheme: "body", Field: "auth_token"})
	for before, want := range map[string]string{
		`{"a":1}`:                            `{"auth_token":"tok-\u003c\"é","a":1}`,
		`{}`:                                 `{"auth_token":"tok-\u003c\"é"}`,
		" {\n}\n":                            " {\"auth_token\":\"tok-\\u003c\\\"é\"\n}\n",
		" { \"a\" : [ {} ] , \"b\":\"{\"}\t": " {\"auth_token\":\"tok-\\u003c\\\"é\", \"a\" : [ {} ] , \"b\":\"{\"}\t",
		`{"nested":{"auth_token":1},"auth_tokens":2}`: `{"auth_token":"tok-\u003c\"é","nested":{"auth_token":1},"auth_tokens":2}`,
	} {
		out := outgoing([]byte(before))
		out.Header.Set("Content-Type", "application/json; charset=UTF-8")
		if err := s.Inject(out, tokenOf(t, `tok-<"é`)); err != nil {
			t.Errorf("%s: %v", before, err)
			continue
		}
		if string(out.Body) != want {
			t.Errorf("%s: got %s, want %s", before, out.Body, want)
		}
		var sent struct {
			Token string `json:"auth_token"`
		}
		if err := json.Unmarshal(out.Body, &sent); err != nil || sent.Token != `tok-<"é` {
			t.Errorf("%s: a server reads %+v, %v", before, sent, err)
		}
	}
	out := outgoing([]byte(`{}`))
	out.Header.Set("Content-Type", "application/json")
	if err := s.Inject(out, tokenOf(t, "tok-\xff0123456789")); err == nil || string(out.Body) != "{}" {
		t.Errorf("a token that is no text: got %s, %v, want an error", out.Body, err)
	}
}

// A request that has the member already, or no place for it, is the agent's to mend.
func TestBodyAdmits(t *testing.T) {
	s := openScheme(t, bundle.Injection{Scheme: "body", Field: "auth_token"})
	for name, c := range map[string]struct {
		types []string
		body  string
		says  string // "": admitted
	}{
		"an object":             {[]string{"application/json"}, `{"a":1}`, ""},
		"of another media type": {[]string{"application/merge-patch+json"}, `{"a":1}`, ""},
		"the member":            {[]string{"application/json"}, `{"a":1,"auth_token":"x"}`, `no member "auth_token"`},
		"in another case":       {[]string{"application/json"}, `{"Auth_Token":"x"}`, "no member"},
		"escaped":               {[]string{"application/json"}, `{"\u0061uth_token":"x"}`, "no member"},
		"as PHP reads it":       {[]string{"application/json"}, `{"auth.token":"x"}`, "no member"},
		"with a long s":         {[]string{"application/json"}, "{\"auth_to\u212aen\":1}", "no member"},
		"a second of one name":  {[]string{"application/json"}, `{"a":1,"a":2}`, "JSON object"},
		"an array":              {[]string{"application/json"}, `[{"a":1}]`, "JSON object"},
		"nothing":               {[]string{"application/json"}, ``, "JSON object"},
		"cut short":             {[]string{"application/json"}, `{"a":1`, "JSON object"},
		"cut within a member":   {[]string{"application/json"}, `{"a":[`, "JSON object"},
		"a second value":        {[]string{"application/json"}, `{}{"auth_token":1}`, "nothing after it"},
		"a byte order mark":     {[]string{"application/json"}, "\ufeff{}", "JSON object"},
		"not UTF-8":             {[]string{"application/json"}, "{\"a\":\"\xff\"}", "JSON object"},
		"another charset":       {[]string{"application/json; charset=utf-16"}, `{}`, "Content-Type"},
		"a form":                {[]string{"application/x-www-form-urlencoded"}, `{}`, "Content-Type"},
		"two types":             {[]string{"application/json", "text/plain"}, `{}`, "Content-Type"},
		"no type":               {nil, `{}`, "Content-Type"},
		"a type that can't be":  {[]string{"application/json; ="}, `{}`, "Content-Type"},
	} {
		t.Run(name, func(t *testing.T) {
			err := Admit(s, http.Header{"Content-Type": c.types}, []byte(c.body))
			if c.says == "" && err != nil || c.says != "" && (fault.KindOf(err) != fault.Invalid || !strings.Contains(fault.HintOf(err), c.says)) {
				t.Errorf("got %v, want %q", err, c.says)
			}
			out := outgoing([]byte(c.body))
			out.Header["Content-Type"] = c.types
			if err := s.Inject(out, tokenOf(t, "tok-0123456789")); (err == nil) != (c.says == "") {
				t.Errorf("inject: got %v", err)
			}
		})
	}
	if err := Admit(Bearer{}, nil, []byte("anything")); err != nil {
		t.Errorf("a scheme that takes any: got %v", err)
	}
}

// FuzzBody holds that what is sent is the judged body with one more member, and
// nothing else, and that a server reads the credential there.
func FuzzBody(f *testing.F) {
	f.Add([]byte(`{"a":{"auth_token":1},"b":[1,2]}`))
	f.Add([]byte(" {\t}"))
	s, err := NewBody("auth_token", "")
	if err != nil {
		f.Fatal(err)
	}
	header := http.Header{"Content-Type": {"application/json"}}
	f.Fuzz(func(t *testing.T, body []byte) {
		if s.Admit(header, body) != nil {
			return
		}
		spliced := splice(body, []byte(`"auth_token":"tok"`))
		var before, after map[string]any
		if err := json.Unmarshal(body, &before); err != nil {
			return // deeper than this reader goes
		}
		if err := json.Unmarshal(spliced, &after); err != nil || after["auth_token"] != "tok" {
			t.Fatalf("%q: a server reads %v, %v", spliced, after, err)
		}
		delete(after, "auth_token")
		if !reflect.DeepEqual(before, after) {
			t.Errorf("got %v, want %v and the credential", after, before)
		}
	})
}
