package injector

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"mintmark/broker/bundle"
)

// What an agent could prove itself with is taken out, on record, whatever the
// kind of upstream and the scheme; what it needs is not.
func TestNoHeaderOfAuthorityPasses(t *testing.T) {
	authority := []string{
		"Authorization", "Proxy-Authorization", "Proxy-Authenticate", "Www-Authenticate", "Authentication-Info", "Cookie", "Cookie2", "Dpop", "Signature", "Signature-Input",
		"X-Api-Key", "Api-Key", "Apikey", "X-Apikey", "X-Rapidapi-Key-Api-Key", "X-Auth-Token", "X-Auth-Key", "Private-Token", "Job-Token", "X-Gitlab-Token", "X-Vault-Token",
		"X-Consul-Token", "X-Csrf-Token", "X-Access-Token", "Access-Token", "X-Client-Secret", "X-Password", "X-Session-Id", "Ocp-Apim-Subscription-Key-Token",
		"X-Amz-Date", "X-Amz-Security-Token", "X-Amz-Content-Sha256", "X-Amz-Target", "X-Goog-Api-Key", "X-Goog-Iap-Jwt-Assertion", "X-Ms-Date", "X-Ms-Client-Principal",
		"X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Groups", "X-Forwarded-Client-Cert", "X-Forwarded-Preferred-Username", "X-Forwarded-For", "X-Forwarded-Host",
		"X-Forwarded-Proto", "X-Forwarded-Access-Token", "Forwarded", "X-Real-Ip", "X-Remote-User", "Remote-User", "Client-Cert", "Client-Cert-Chain", "X-Client-Cert",
		"X-Ssl-Client-Verify", "Ssl-Client-Cert",
	}
	hops := []string{"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Host", "Content-Length", "Expect", "Via", "Accept-Encoding",
		"Origin", "Referer", "User-Agent", "X-Anything", "X-Http-Method-Override"}
	for _, plain := range []bool{true, false} {
		for _, s := range []Scheme{nil, Bearer{}, openScheme(t, bundle.Injection{Scheme: "mtls"})} {
			for _, name := range authority {
				if out, stripped := Strip(http.Header{name: {"x"}}, plain, s); len(out) != 0 || len(stripped) != 1 {
					t.Errorf("%s (plain %t): got %v left and %v stripped, want it stripped", name, plain, out, stripped)
				}
			}
			for _, name := range hops {
				if out, stripped := Strip(http.Header{name: {"x"}}, plain, s); len(out) != 0 || len(stripped) != 0 {
					t.Errorf("%s (plain %t): got %v left and %v stripped, want it gone without a word", name, plain, out, stripped)
				}
			}
			for _, name := range []string{"Accept", "Content-Type", "Traceparent", "Tracestate"} {
				if out, _ := Strip(http.Header{name: {"x"}}, plain, s); len(out) != 1 {
					t.Errorf("%s (plain %t): got it stripped, want it to pass", name, plain)
				}
			}
		}
	}
}

func TestNoParameterOfAuthorityPasses(t *testing.T) {
	for _, name := range []string{
		"access_token", "ACCESS_TOKEN", "access.token", "access token", " access_token", "access_token[]", "access_token[a]", "access[token", "[access_token]", "access_token]", "[[access_token", "]access_token[a]", " [access_token]", "access_token\x00x",
		"accessToken", "id_token", "refresh_token", "oauth_token", "token", "to\u212aen", "jwt", "api_key", "api-key", "apikey", "key", "auth", "authorization", "\u017fecret",
		"client_secret", "client_assertion", "password", "sig", "signature", "X-Amz-Signature", "x-amz-credential", "X-Goog-Signature", "X-Ms-Signature", "session", "bearer",
		"api_token", "api-token", "apiToken", "job_token", "x-api-key", "X_Api_Key", "x-access-token", "access-token", "auth_key", "app_key", "application_key", "secret_key",
		"oauth_signature", "oauth_consumer_key", "PHPSESSID", "jsessionid", "session_id", "subscription_key", "passphrase", "personal_access_token",
		"oauth-token", "oauthToken", "oauth.signature", "x_amz_signature", "X.Amz.Security.Token", "x_goog_credential", "x_ms_token",
		"api_secret", "app_secret", "consumer_key", "consumer_secret", "OSSAccessKeyId", "access_key_secret", "secret_access_key", "security_token", "session_key",
		"X-Plex-Token", "x_emby_token", "x-oss-signature", "x-oss-credential", "X-Cos-Security-Token", "X-Functions-Key", "q-signature",
		"os_password", "j_password", "CFTOKEN", "auth_signature", "api_sig",
		"circle-token", "user_key", "user_credentials", "wstoken", "serviceKey", "feed_token", "rss_token", "app_token", "api_password",
	} {
		query, stripped, ok := StripQuery("a=1&"+url.QueryEscape(name)+"=x&b=2", nil)
		if !ok || query != "a=1&b=2" || len(stripped) != 1 {
			t.Errorf("%q: got %q left and %q stripped, want it stripped", name, query, stripped)
		}
	}
	for _, name := range []string{"page_token", "next[token]", "sort_key", "tokens", "keyword", "author", "sessions", "x-amzn", "q", "next_page_token", "key_id", "token_type", "oauth", "x_amzn", "client_id", "consumer", "secrets", "x-oss-process", "x-token-type", "x-keys", "max-key", "AccessKeyId"} {
		raw := url.QueryEscape(name) + "=x"
		if query, stripped, ok := StripQuery(raw, Bearer{}); !ok || query != raw || len(stripped) != 0 {
			t.Errorf("%q: got %q left and %q stripped, want it to pass", name, query, stripped)
		}
	}
}

func TestFormAuthority(t *testing.T) {
	const form = "application/x-www-form-urlencoded"
	parts := func(names ...string) string {
		var b strings.Builder
		for _, n := range names {
			b.WriteString("--x\r\nContent-Disposition: form-data; name=\"" + n + "\"\r\n\r\nvalue\r\n")
		}
		return b.String() + "--x--\r\n"
	}
	for name, c := range map[string]struct {
		types      []string
		body, want string
	}{
		"a token":                    {[]string{form}, "a=1&access_token=x", "access_token"},
		"first":                      {[]string{form}, "access_token=x", "access_token"},
		"without a value":            {[]string{form}, "a&client_secret", "client_secret"},
		"escaped":                    {[]string{form + "; charset=utf-8"}, "%61ccess_%74oken=x", "access_token"},
		"after a semicolon":          {[]string{form}, "a=1;token=x", "token"},
		"in another case":            {[]string{"Application/X-WWW-Form-URLEncoded"}, "Client_Assertion=x", "Client_Assertion"},
		"as PHP reads it":            {[]string{form}, "access[token=x", "access[token"},
		"in the second of two types": {[]string{"text/plain", form}, "api_key=x", "api_key"},
		"none":                       {[]string{form}, "a=access_token&page_token=1&b=token%3Dx", ""},
		"a key that IAM is told of":  {[]string{form}, "Action=DeleteAccessKey&UserName=bob&AccessKeyId=AKIA", ""},
		"a form of no such type":     {[]string{"text/plain"}, "access_token=x", ""},
		"JSON":                       {[]string{"application/json"}, `{"access_token":"x"}`, ""},
		"no body":                    {[]string{form}, "", ""},
		"a part":                     {[]string{"multipart/form-data; boundary=x"}, parts("a", "access_token"), "access_token"},
		"no such part":               {[]string{"multipart/form-data; boundary=x"}, parts("a", "file"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := FormAuthority(http.Header{"Content-Type": c.types}, []byte(c.body))
			if err != nil || got != c.want {
				t.Errorf("got %q, %v, want %q", got, err, c.want)
			}
		})
	}
	for name, c := range map[string]struct{ kind, body string }{
		"no boundary": {"multipart/form-data", parts("a")},
		"cut short":   {"multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nval"},
		"no part":     {"multipart/form-data; boundary=x", "something else"},
		"no head":     {"multipart/form-data; boundary=x", "--x\r\n"},
		"no type":     {"multipart/form-data; boundary", parts("a")},
	} {
		if got, err := FormAuthority(http.Header{"Content-Type": {c.kind}}, []byte(c.body)); err == nil {
			t.Errorf("%s: got %q, want an error, as nobody knows what is in it", name, got)
		}
	}
}

// FuzzStripQuery holds that nothing is left by which a server would know the caller,
// nor of the scheme's own, and that what is left is as it was sent.
func FuzzStripQuery(f *testing.F) {
	f.Add("a=1&%61ccess_token=x&my.code=2&[code]=3&b")
	f.Add("access[token=x&&=&my_code[]=1")
	s, err := NewQuery("my.code", "")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		query, stripped, ok := StripQuery(raw, s)
		if !ok {
			return
		}
		left, err := url.ParseQuery(query)
		if err != nil {
			t.Fatalf("%q: servers can't read %q: %v", raw, query, err)
		}
		for name := range left {
			if namesAuthority(name) || namesMethod(name) || s.Owns(InQuery, name) || fold(parameter(name)) == "my_code" {
				t.Errorf("%q: got %q left", raw, name)
			}
		}
		if len(stripped) == 0 && query != raw {
			t.Errorf("%q: got %q, want it as it was", raw, query)
		}
		if again, _, ok := StripQuery(query, s); !ok || again != query {
			t.Errorf("%q: a second time got %q, want %q", raw, again, query)
		}
	})
}

func FuzzFormAuthority(f *testing.F) {
	f.Add("a=1&%61ccess_token=x", true)
	f.Add("--x\r\nContent-Disposition: form-data; name=a\r\n\r\n", false)
	f.Fuzz(func(t *testing.T, body string, plain bool) {
		h := http.Header{"Content-Type": {"multipart/form-data; boundary=x"}}
		if plain {
			h = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
		}
		if _, err := FormAuthority(h, []byte(body)); err != nil || !plain {
			return
		}
		// Whatever stands around it, what is named so is found.
		if got, _ := FormAuthority(h, []byte(body+"&access_token=x")); got == "" {
			t.Errorf("%q: got no field, want one", body)
		}
	})
}
