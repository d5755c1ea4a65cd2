package injector

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net/http"
	"net/url"
	"testing"
	"time"

	"mintmark/broker/audit"
	"mintmark/broker/bundle"
	"mintmark/internal/fault"
	"mintmark/providers"
)

// interrupted has something happen between the release of a credential and its use.
type interrupted struct {
	Scheme
	meanwhile func()
}

// Inject implements Scheme.
func (i interrupted) Inject(out *Outgoing, c providers.Opened) error {
	i.meanwhile()
	return i.Scheme.Inject(out, c)
}

// A credential that is wiped while it is put on a call is refused: what is left of it
// may be half, such as a token without the key that it is bound to, and what answers
// are searched for would be nothing.
func TestACredentialThatIsWipedMeanwhile(t *testing.T) {
	bound := certified(t, "ada")
	bound.Token = providers.NewSecret("tok-0123456789")
	user, err := NewHeader("X-User", "{username}")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		kind     providers.Kind
		material providers.Material
		scheme   Scheme
		before   bool // whether there was a call before
	}{
		"the key of a token":                {providers.Token, bound, Bearer{}, true},
		"the password, and the name is put": {providers.Password, providers.Material{Username: "ada", Password: providers.NewSecret("pass-0123456789")}, user, false},
	} {
		lease := lend(t, c.kind, c.material)
		inject := func(s Scheme) (*Outgoing, error) {
			receipt, err := lease.log.Append(t.Context(), &audit.Record{Kind: audit.Decision, Allow: true, Credential: lease.c.ID()})
			if err != nil {
				t.Fatal(err)
			}
			out := &Outgoing{Method: http.MethodGet, URL: &url.URL{Scheme: "https", Host: "127.0.0.1", Path: "/"}, Header: http.Header{}}
			_, err = Inject(out, s, lease.c, receipt)
			return out, err
		}
		if c.before {
			if out, err := inject(c.scheme); err != nil || out.certificate == nil {
				t.Fatalf("%s: got %v, want the token with its certificate", name, err)
			}
		}
		out, err := inject(interrupted{c.scheme, func() {
			if err := lease.pool.Close(t.Context()); err != nil { // which wipes at once
				t.Error(err)
			}
		}})
		if fault.KindOf(err) != fault.Unavailable {
			t.Errorf("%s: got %v and the headers of %d names, want it refused", name, err, len(out.Header))
		}
		if !lease.c.Ended(time.Now()) {
			t.Errorf("%s: got a credential that goes on", name)
		}
		if err := lease.log.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A server that wants another proof once the credential is wiped gets none, and nothing
// else: the call ends with the answer that asked for it.
func TestNoProofOfACredentialThatIsWiped(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	lease := lend(t, providers.Token, providers.Material{Token: providers.NewSecret("tok-0123456789"), Key: providers.NewPrivateKey(key)})
	scheme, err := Open(bundle.Injection{Scheme: "dpop"})
	if err != nil {
		t.Fatal(err)
	}
	for i, u := range serving(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if err := lease.pool.Close(t.Context()); err != nil {
			t.Error(err)
		}
		w.Header()["WWW-Authenticate"] = []string{`DPoP error="use_dpop_nonce"`}
		w.Header().Set("DPoP-Nonce", "nonce-1")
		w.WriteHeader(http.StatusUnauthorized)
	})) {
		if i > 0 {
			lease = lend(t, providers.Token, providers.Material{Token: providers.NewSecret("tok-0123456789"), Key: providers.NewPrivateKey(key)})
		}
		receipt, err := lease.log.Append(t.Context(), &audit.Record{Kind: audit.Decision, Allow: true, Credential: lease.c.ID()})
		if err != nil {
			t.Fatal(err)
		}
		out := &Outgoing{Method: http.MethodGet, URL: u.URL("", "", ""), Header: http.Header{}}
		if _, err := Inject(out, scheme, lease.c, receipt); err != nil {
			t.Fatal(err)
		}
		checked := 0
		resp, err := u.Send(t.Context(), out, func() error { checked++; return nil })
		if err == nil {
			_ = resp.Body.Close()
		}
		if fault.KindOf(err) != fault.Internal || checked != 1 {
			t.Errorf("HTTP/%d: got %v after %d requests, want an error after one", i+1, err, checked)
		}
		lease.end(t)
	}
}
