package providers_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mintmark/internal/fault"
	"mintmark/providers"
)

// What the Pool itself refuses names the provider to the operator, and not to the agent.
func TestARefusalOfThePoolNamesTheProvider(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		soon := providers.Terms{NotAfter: time.Now().Add(time.Hour)}
		seal := func(m providers.Material, terms providers.Terms) *scripted {
			return &scripted{mint: mintOf(providers.Seal(providers.Token, m, terms))}
		}
		secret := func() providers.Material { return providers.Material{Token: providers.NewSecret(canary)} } // of each its own: it is wiped
		try := "; see what its system issues: mintmark provider test orders"
		for name, tt := range map[string]struct {
			entry providers.Entry
			want  string // how its error ends
		}{
			"a secret in its terms": {providers.Entry{Provider: seal(secret(), providers.Terms{NotAfter: soon.NotAfter, Scopes: []string{canary}})}, ": provider orders" + try},
			"a handle too long":     {providers.Entry{Provider: seal(secret(), providers.Terms{NotAfter: soon.NotAfter, Lease: strings.Repeat("h", 1025)})}, ": provider orders" + try},
			"incomplete":            {providers.Entry{Provider: seal(providers.Material{}, soon)}, ": provider orders" + try},
			"over already":          {providers.Entry{Provider: seal(secret(), providers.Terms{NotAfter: time.Now().Add(-time.Hour)})}, ": provider orders" + try},
			"not to be searched":    {providers.Entry{Provider: seal(providers.Material{Token: providers.NewSecret(strings.Repeat("x", 1000))}, soon)}, ": provider orders" + try},
			"no agent":              {providers.Entry{Provider: lasting(time.Hour), PerAgent: true}, ": provider orders"},
			"a panic": {providers.Entry{Provider: &scripted{mint: func(context.Context, int, providers.Request) (providers.Credential, error) {
				panic(canary)
			}}}, "mint of provider orders: panic of type string"},
		} {
			r := newRig(t, map[string]providers.Entry{"orders": tt.entry})
			_, _, err := r.Lease(t.Context(), "orders", providers.Request{})
			if err == nil || !strings.HasSuffix(err.Error(), tt.want) || strings.Contains(fault.HintOf(err), "orders") {
				t.Errorf("%s: got %v (hint %q), want it to end in %q", name, err, fault.HintOf(err), tt.want)
			}
			r.Stop(t)
		}
		r := one(t, lasting(time.Hour))
		if _, _, err := r.Lease(t.Context(), "orders", providers.Request{}); err == nil || !strings.HasSuffix(err.Error(), `: got "orders", want one that is registered`) {
			t.Errorf("a provider that is not registered: got %v", err)
		}
		r.Stop(t)
	})
}
