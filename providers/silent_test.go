package providers_test

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mintmark/providers"
)

// A provider that never answers is named, or says itself what it asked, in the time that
// the pool gives it.
func TestSilenceSaysWhatWasAsked(t *testing.T) {
	heeding := func(ctx context.Context, _ int, _ providers.Request) (providers.Credential, error) {
		<-ctx.Done()
		return providers.Credential{}, providers.Unreachable("vault", &url.Error{Op: "Put", URL: "https://vault.example/v1/auth/jwt/login?x=" + canary, Err: ctx.Err()})
	}
	bare := func(ctx context.Context, _ int, _ providers.Request) (providers.Credential, error) {
		<-ctx.Done()
		return providers.Credential{}, ctx.Err()
	}
	for name, tt := range map[string]struct {
		p    *scripted
		want string
	}{
		"its client says it": {&scripted{mint: heeding}, "lease: vault did not answer in time: asked PUT https://vault.example/v1/auth/jwt/login: context deadline exceeded; does a firewall"},
		"a bare error":       {&scripted{mint: bare}, "lease: the credential provider did not answer in time: mint of provider db: context deadline exceeded; "},
		"it heeds nothing":   {heedless(11*time.Second, providers.NewSecret(canary), "lease-1"), "lease: the credential provider did not answer in time: mint of provider db: context deadline exceeded; "},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := one(t, tt.p)
				defer r.Stop(t)
				_, _, err := r.Lease(t.Context(), "db", providers.Request{})
				if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
					t.Errorf("got %v, want %q", err, tt.want)
				}
				if got := r.Records(t)[0].Reason; !strings.HasPrefix(got, tt.want) {
					t.Errorf("record: got reason %q, want %q", got, tt.want)
				}
				pass(8 * time.Second)
			})
		})
	}
}

// What did not answer a revocation in time is said of that, and of its time.
func TestSilenceAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := lasting(time.Hour)
		p.onRevoke = func(ctx context.Context, _ providers.Held) error {
			<-ctx.Done()
			return ctx.Err()
		}
		r := one(t, p)
		if _, _, err := r.Lease(t.Context(), "db", providers.Request{}); err != nil {
			t.Fatal(err)
		}
		r.Drop(t.Context(), "db")
		pass(30 * time.Second) // a round of attempts
		const want = "lease: the credential provider did not answer in time: revoke of provider db: context deadline exceeded; "
		if got := r.Records(t); !strings.HasPrefix(got[len(got)-1].Reason, want) {
			t.Errorf("got %q, want the reason %q", got[len(got)-1].Reason, want)
		}
		_ = r.Close(t.Context())
		r.Finish(t)
	})
}
