package injector

import (
	"crypto/tls"
	"maps"
	"net/url"
	"strings"
	"testing"

	"mintmark/internal/fault"
	"mintmark/providers"
)

// A token that is bound to a certificate goes with it, on a connection of its lease's
// own, and nowhere else (RFC 8705, section 3).
func TestBearerShowsTheCertificateOfItsToken(t *testing.T) {
	bound := func(name string) providers.Material {
		m := certified(t, name)
		m.Token = providers.NewSecret("tok-" + name)
		return m
	}
	l := newLeases(t, map[string]providers.Material{"ada": bound("ada"), "bob": bound("bob")})
	_, up := newAsking(t, tls.RequireAnyClientCert, true)
	for range 2 {
		for _, name := range []string{"ada", "bob"} {
			if got, err := l.callBy(t.Context(), up, name, Bearer{}); got != name+"Bearer tok-"+name || err != nil {
				t.Errorf("a call of %s: arrived as %q, %v", name, got, err)
			}
		}
	}
	_, deaf := newAsking(t, tls.NoClientCert, false)
	if got, err := l.callBy(t.Context(), deaf, "ada", Bearer{}); fault.KindOf(err) != fault.BadUpstream || got != "" {
		t.Errorf("a server that asks for no certificate: got %q, %v, want no call", got, err)
	}
}

func TestTokenOfACertificateThatDoesNotFit(t *testing.T) {
	m := certified(t, "ada")
	m.Token = providers.NewSecret("tok-0123456789")
	for name, tt := range map[string]struct {
		scheme Scheme
		url    string
		value  string
		want   string
	}{
		"bearer, not by TLS":     {Bearer{}, "http://127.0.0.1/x", "tok-0123456789", "expected an https upstream"},
		"bearer, of two lines":   {Bearer{}, "https://127.0.0.1/x", "tok-0123456789\r\nX: y", "control character"},
		"mtls without the token": {MTLS{}, "https://127.0.0.1/x", "tok-0123456789", "scheme bearer sends both"},
		"a proof by its key":     {DPoP{}, "https://127.0.0.1/x", "tok-0123456789", "got none"},
	} {
		m.Token = providers.NewSecret(tt.value)
		out := outgoing(nil)
		target, err := url.Parse(tt.url)
		if err != nil {
			t.Fatal(err)
		}
		out.URL = target
		before := maps.Clone(out.Header)
		err = tt.scheme.Inject(out, opened(t, providers.Token, m))
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "0123456789") {
			t.Errorf("%s: got %v, want %s", name, err, tt.want)
		}
		if len(out.Header) != len(before) || out.certificate != nil {
			t.Errorf("%s: got %+v, want it as it was", name, out)
		}
	}
}
