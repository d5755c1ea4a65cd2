package providers_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mintmark/internal/fault"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
)

// errUnfit is what a provider finds of what its system has issued already.
var errUnfit = fault.New("lease", fault.Internal, "it is bound to another key")

// unfit is a provider that refuses what its system issued, after a while.
func unfit(after time.Duration, terms providers.Terms, err error) *scripted {
	return &scripted{mint: func(context.Context, int, providers.Request) (providers.Credential, error) {
		<-time.After(after)
		return providers.Seal(providers.Token, providers.Material{Token: providers.NewSecret(canary)}, terms), err
	}}
}

// What its system issued and its provider refuses is good there: nobody gets it, it is on
// record with the reason, and it is revoked, like what comes late.
func TestWhatItsProviderRefusesIsOnRecordAndRevoked(t *testing.T) {
	for name, tt := range map[string]struct {
		after  time.Duration
		terms  providers.Terms
		events string
	}{
		"in time":          {0, providers.Terms{Lease: "lease-1"}, "mint_failed revoke"},
		"by its secret":    {0, providers.Terms{Revocable: true}, "mint_failed revoke"},
		"late":             {11 * time.Second, providers.Terms{Lease: "lease-1"}, "mint_failed mint_late revoke"},
		"without a handle": {0, providers.Terms{}, "mint_failed"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := unfit(tt.after, tt.terms, errUnfit)
				r := one(t, p)
				defer r.Stop(t)
				if c, _, err := r.Lease(t.Context(), "db", providers.Request{}); err == nil || !c.IsZero() {
					t.Errorf("got %v and %v, want no credential", c, err)
				}
				pass(8 * time.Second)
				if got := r.Events(t); got != tt.events {
					t.Errorf("events: got %q, want %q", got, tt.events)
				}
				made := r.Records(t)[strings.Count(tt.events, " mint_late")]
				if made.Credential == "" || made.Fingerprint == "" || made.Lease != tt.terms.Lease || made.Reason == "" {
					t.Errorf("got the record %+v of what was issued", made)
				}
				if lives := strings.HasSuffix(made.Reason, providertest.UntilUnknown); lives != (tt.events == "mint_failed") {
					t.Errorf("reason: got %q, want that it lives on where nothing can end it", made.Reason)
				}
				if tt.after == 0 && !strings.Contains(made.Reason, errUnfit.Hint) {
					t.Errorf("reason: got %q, want why it was refused", made.Reason)
				}
			})
		})
	}
}

// Of what seems to have ended, and of what somebody has stored, the record does not say that it lives on.
func TestWhatLivesOnIsWhatWasIssuedAndHasAnEndToCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, p := range map[string]providers.Provider{
			"over":   plain{lasting(-time.Minute)},
			"stored": stored{unfit(0, providers.Terms{}, errUnfit)},
		} {
			r := one(t, p)
			if _, _, err := r.Lease(t.Context(), "db", providers.Request{}); err == nil {
				t.Errorf("%s: got it leased", name)
			}
			if got := r.Records(t)[0]; got.Event != "mint_failed" || strings.Contains(got.Reason, "it is good there") {
				t.Errorf("%s: got the record %+v", name, got)
			}
			r.Stop(t)
		}
	})
}

// stored is a Keeper.
type stored struct{ providers.Provider }

// Kept implements providers.Keeper.
func (stored) Kept() bool { return true }

// What has ended by the broker's clock as it is made may be good by its system's.
func TestWhatSeemsToHaveEndedAlreadyIsRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := lasting(-time.Minute)
		r := one(t, p)
		defer r.Stop(t)
		refused(t, r, fault.Unavailable)
		synctest.Wait()
		if got := r.Events(t); got != "mint_failed revoke" || !p.hasRevoked("lease-1") {
			t.Errorf("events: got %q, want it revoked", got)
		}
	})
}
