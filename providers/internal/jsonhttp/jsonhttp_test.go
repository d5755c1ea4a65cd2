package jsonhttp_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"mintmark/internal/fault"
	"mintmark/providers"
	"mintmark/providers/internal/jsonhttp"
	"mintmark/providers/internal/providertest"
)

func client(explain func(int, []byte) string) jsonhttp.Client {
	return jsonhttp.Client{System: "the system", HTTP: providers.HTTPClient(nil), Explain: explain}
}

func ask(t *testing.T, handler http.Handler) (jsonhttp.Token, error) {
	t.Helper()
	r, err := jsonhttp.Form(t.Context(), providertest.Serve(t, handler), url.Values{"a": {"b c"}})
	if err != nil {
		t.Fatal(err)
	}
	return client(nil).Token(r)
}

// What was issued is returned with an error too: it is good there.
func TestTokens(t *testing.T) {
	const refused = -time.Nanosecond
	tests := map[string]struct {
		body string
		life time.Duration // 0: refused; below, what was issued and is refused
		want []string
	}{
		"whole":                {`{"access_token":"t","token_type":"Bearer","expires_in":60,"scope":"a b"}`, time.Minute, []string{"a", "b"}},
		"lower case, as text":  {`{"access_token":"t","token_type":"bearer","expires_in":"90"}`, 90 * time.Second, nil},
		"no life stated":       {`{"access_token":"t","token_type":"Bearer"}`, time.Minute, nil},
		"a life without end":   {`{"access_token":"t","token_type":"Bearer","expires_in":1e300}`, 87600 * time.Hour, nil},
		"no life":              {`{"access_token":"t","token_type":"Bearer","expires_in":0}`, refused, nil},
		"a life before now":    {`{"access_token":"t","token_type":"Bearer","expires_in":-60}`, refused, nil},
		"a life that is none":  {`{"access_token":"t","token_type":"Bearer","expires_in":"NaN"}`, refused, nil},
		"bound":                {`{"access_token":"t","token_type":"DPoP","expires_in":60}`, refused - time.Minute, nil},
		"no token":             {`{"token_type":"Bearer","expires_in":60}`, 0, nil},
		"names in other cases": {`{"Access_Token":"t","token_type":"Bearer","expires_in":60}`, 0, nil},
		"text after":           {`{"access_token":"t","token_type":"Bearer"} {}`, refused, nil},
		"a type that is none":  {`{"token_type":7,"expires_in":60,"access_token":"t"}`, refused - time.Minute, nil},
		"no type":              {`{"expires_in":null,"access_token":"t"}`, refused, nil},
		"a scope that is none": {`{"scope":["a"],"access_token":"t","token_type":"Bearer","expires_in":60}`, refused - time.Minute, nil},
		"a life of null":       {`{"access_token":"t","token_type":"Bearer","expires_in":null}`, time.Minute, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			token, err := ask(t, providertest.Answer(200, "application/json; charset=utf-8", tt.body))
			good, issued, life := tt.life > 0, tt.life != 0, tt.life
			if life < 0 {
				life = refused - life
			}
			if token.Life != life || (err == nil) != good || !slices.Equal(token.Scopes, tt.want) || token.Value.IsZero() == issued {
				t.Errorf("got a life of %v, scopes %v, a token %t and %v, want %v", token.Life, token.Scopes, !token.Value.IsZero(), err, tt.life)
			}
		})
	}
}

func TestRequestsSayWhatTheyAre(t *testing.T) {
	var seen []string
	to := providertest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body strings.Builder
		_ = r.Write(&body)
		_, content, _ := strings.Cut(body.String(), "\r\n\r\n")
		seen = append(seen, r.Method+" "+r.Header.Get("Content-Type")+" "+r.Header.Get("User-Agent")+" "+content)
		w.WriteHeader(http.StatusNoContent)
	}))
	for _, make := range []func() (*http.Request, error){
		func() (*http.Request, error) { return jsonhttp.Form(t.Context(), to, url.Values{"a": {"b c"}}) },
		func() (*http.Request, error) { return jsonhttp.JSON(t.Context(), to, map[string]int{"a": 1}) },
		func() (*http.Request, error) { return jsonhttp.Delete(t.Context(), to) },
	} {
		r, err := make()
		if err != nil {
			t.Fatal(err)
		}
		if err := client(nil).Do(r, nil); err != nil {
			t.Error(err)
		}
	}
	want := []string{"POST application/x-www-form-urlencoded mintmark a=b+c", `POST application/json mintmark {"a":1}`, "DELETE  mintmark "}
	if !slices.Equal(seen, want) {
		t.Errorf("got %q, want %q", seen, want)
	}
}

func TestOnlyOurOwnWordsExplain(t *testing.T) {
	to := providertest.Serve(t, providertest.Answer(400, "application/json", `{"error":"invalid_grant","error_description":"`+providertest.Canary+`"}`))
	r, err := jsonhttp.Delete(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	err = client(func(_ int, answer []byte) string { return jsonhttp.Join("", jsonhttp.Code(answer), "compare it") }).Do(r, nil)
	if err == nil || !strings.HasSuffix(err.Error(), "status 400: invalid_grant: compare it") || strings.Contains(err.Error(), providertest.Canary) {
		t.Errorf("got %v", err)
	}
	if code := jsonhttp.Code([]byte(`{"error":"` + providertest.Canary + `"}`)); code != "" {
		t.Errorf("code: got %q, want none that is not known", code)
	}
}

func TestAssertionNeedsAnIdentity(t *testing.T) {
	for name, self := range map[string]providers.IdentitySource{"none": nil, "broken": providertest.Self{Err: http.ErrServerClosed}} {
		if got, err := jsonhttp.Assertion(t.Context(), self, "aud", "it"); got != "" || fault.KindOf(err) != fault.Unavailable || fault.HintOf(err) != "the broker has no identity to show to it" {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	if got, err := jsonhttp.Assertion(t.Context(), providertest.Self{}, "aud", "it"); got != "svid-for-aud" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

// Whatever is answered, there is a token with an end, or a fault that quotes nothing.
func FuzzToken(f *testing.F) {
	f.Add(200, "application/json", []byte(`{"access_token":"a","token_type":"Bearer","expires_in":60}`))
	f.Add(200, "application/json", []byte(`{"access_token":"a","token_type":"Bearer","expires_in":{"a":[]}}`))
	f.Add(400, "application/json", []byte(`{"error":"invalid_client"}`))
	f.Add(200, "text/plain", []byte(`access_token=a`))
	f.Fuzz(func(t *testing.T, status int, kind string, body []byte) {
		if status < 200 || status > 599 {
			return
		}
		token, err := ask(t, providertest.Answer(status, kind, string(body)))
		if err == nil && (token.Life <= 0 || token.Value.IsZero()) || token.Life > 10*366*24*time.Hour {
			t.Errorf("got a life of %v with %v", token.Life, err)
		}
		if err != nil && fault.HintOf(err) == "" {
			t.Errorf("got %v, want a fault with a hint", err)
		}
		if err != nil && len(body) > 16 && strings.Contains(err.Error(), string(body)) {
			t.Errorf("the answer is in the error: %v", err)
		}
	})
}

func FuzzSeconds(f *testing.F) {
	f.Add([]byte(`1e999`))
	f.Add([]byte(`"0x10"`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var s jsonhttp.Seconds
		if err := json.Unmarshal(text, &s); err == nil && (s.Duration < 0 || s.Hours() > 100_000) {
			t.Errorf("got %v, want none below zero or without end", s)
		}
	})
}
