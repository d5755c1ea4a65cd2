package policies_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mintmark/policies"
)

// TestDecideTogether has many ask one Set, and each get what a Set of its own says.
func TestDecideTogether(t *testing.T) {
	o := policies.Options{
		PostureNames: factNames, Clocks: map[string]*time.Location{"utc": time.UTC},
		Upstreams: []policies.Upstream{{Name: "one"}, {Name: "two"}, {Name: "web", Kind: "http"}},
	}
	r := rand.New(rand.NewPCG(*seed, 3))
	for range 5 {
		var text strings.Builder
		for n := range 12 {
			text.WriteString(checkedPolicy(r, n, o))
		}
		files := []policies.File{{Name: "p.cedar", Content: []byte(text.String())}}
		together, err := policies.Compile(files, o)
		if err != nil {
			t.Fatal(err)
		}
		alone, err := policies.Compile(files, o)
		if err != nil {
			t.Fatal(err)
		}
		requests, want := make([]policies.Request, 100), make([]policies.Decision, 100)
		for i := range requests {
			requests[i] = randomRequest(r)
			want[i] = alone.Decide(requests[i])
		}
		var all sync.WaitGroup
		for start := range 16 {
			all.Go(func() {
				for i := range 5 * len(requests) {
					n := (start*7 + i) % len(requests)
					got := together.Decide(requests[n])
					if got.Allow != want[n].Allow || got.Reason != want[n].Reason || !slices.Equal(got.Policies, want[n].Policies) {
						t.Errorf("got %+v, want %+v", got, want[n])
						return
					}
				}
			})
		}
		all.Wait()
	}
}
