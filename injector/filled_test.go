package injector

import (
	"net/http"
	"reflect"
	"testing"

	"mintmark/providers"
)

// Registrations that share a credential share what is written of it only where it is
// the same.
func TestWhatIsWrittenOfOneCredentialIsEachSchemesOwn(t *testing.T) {
	t.Parallel()
	header := func(name, template string) Scheme {
		s, err := NewHeader(name, template)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	cookie := func(name, template string) Scheme {
		s, err := NewCookie(name, template)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	c := opened(t, providers.Password, providers.Material{Username: "clerk", Password: providers.NewSecret("tok-0123456789")})
	for range 2 {
		for _, tt := range []struct {
			scheme Scheme
			want   http.Header
		}{
			{header("X-Key", "{password}"), http.Header{"X-Key": {"tok-0123456789"}}},
			{header("X-Other", "{password}"), http.Header{"X-Other": {"tok-0123456789"}}},
			{header("X-Key", "{username}={password}"), http.Header{"X-Key": {"clerk=tok-0123456789"}}},
			{cookie("{username}", "{password}"), http.Header{"Cookie": {"{username}=tok-0123456789"}}},
			{cookie("clerk", "{password}"), http.Header{"Cookie": {"clerk=tok-0123456789"}}},
			{cookie("a", "{username}={password}"), http.Header{"Cookie": {"a=clerk=tok-0123456789"}}},
			{cookie("a={username}", "{password}"), http.Header{"Cookie": {"a={username}=tok-0123456789"}}},
			{Basic{}, http.Header{"Authorization": {"Basic Y2xlcms6dG9rLTAxMjM0NTY3ODk="}}},
		} {
			out := outgoing(nil)
			if err := tt.scheme.Inject(out, c); err != nil || !reflect.DeepEqual(out.Header, tt.want) {
				t.Errorf("got %v, %v, want %v", out.Header, err, tt.want)
			}
			if err := (Bearer{}).Inject(outgoing(nil), c); err == nil {
				t.Error("bearer, of a password: got no error")
			}
		}
	}
}

// What append moves would be left where it was.
func TestFillingMovesNothing(t *testing.T) {
	c := opened(t, providers.Token, providers.Material{Token: providers.NewSecret("tok-0123456789")})
	n := testing.AllocsPerRun(100, func() {
		if _, err := pattern("{token}, k={token};{token}").fill("header", c); err != nil {
			t.Error(err)
		}
	})
	if n > 1 {
		t.Errorf("got %v allocations, want one", n)
	}
}
