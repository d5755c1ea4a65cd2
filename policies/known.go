package policies

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"mintmark/broker/bundle"
)

// Known is what is registered beside the policies, and so what a case of a test
// file may name.
type Known struct {
	TrustDomains []string            // of agents
	Credentials  map[string][]string // by upstream, the providers that serve it
}

// slips says what tc names that is not there: it would be denied whatever the
// policies are, so that expecting that tests nothing.
func (k Known) slips(set *Set, tc testCase, r Request) (slips []slip) {
	if set == nil {
		return nil
	}
	refuse := func(key, format string, args ...any) {
		slips = append(slips, slip{key, fmt.Errorf(key+": "+format, args...)})
	}
	if td := r.Agent.TrustDomain().Name(); td != "" && !slices.Contains(k.TrustDomains, td) {
		refuse("agent", "got one of trust domain %q, want one of %s, or list it under trust_domains beside cases%s",
			td, strings.Join(k.TrustDomains, ", "), bundle.DidYouMean(td, k.TrustDomains))
	}
	if _, ok := set.upstreams[tc.Upstream]; !ok && tc.Upstream != "" {
		refuse("upstream", "got %q, want the name of a registered upstream%s", tc.Upstream, bundle.DidYouMean(tc.Upstream, sorted(set.upstreams)))
	} else if served := k.Credentials[tc.Upstream]; ok && tc.Credential != "" && !slices.Contains(served, tc.Credential) {
		refuse("credential", "got %q, want a provider that upstream %q has under credentials%s", tc.Credential, tc.Upstream, bundle.DidYouMean(tc.Credential, served))
	}
	if !set.Knows(tc.Method) && tc.Method != "" {
		refuse("method", "got %q, want an action of the model, see: mintmark policy schema%s", tc.Method, bundle.DidYouMean(tc.Method, sorted(set.actions)))
	}
	if tc.Policies != nil {
		for _, id := range *tc.Policies {
			if !slices.Contains(set.IDs(), id) {
				refuse("policies", "got %q, want ids of policies%s", id, bundle.DidYouMean(id, set.IDs()))
			}
		}
	}
	if len(slips) > 0 || tc.Upstream == "" || tc.Method == "" || r.Agent.IsZero() {
		return slips
	}
	if r.Target.Type == Path {
		if err := plainPath(r.Target.Name); err != nil {
			refuse("path", "got %q, want the decoded path of a call: %w", r.Target.Name, err)
			return slips
		}
	}
	if _, why := set.call(r); why != "" {
		refuse("method", "got %q on upstream %q, want what can be asked: %s", tc.Method, tc.Upstream, why)
	}
	return slips
}

// sources lists the registered sources of posture after a name that is none of theirs.
func (s *Set) sources(name string) string {
	if s == nil {
		return ""
	}
	known := sorted(s.posture)
	if len(known) == 0 {
		return ": there is none under posture"
	}
	return ", one of " + strings.Join(known, ", ") + bundle.DidYouMean(name, known)
}

// unknownKey says which keys there are in place of key, in a mapping of a test
// file that is decoded into the type of that name.
func unknownKey(key, of string) string {
	var names []string
	for _, t := range []reflect.Type{reflect.TypeFor[cases](), reflect.TypeFor[testCase](), reflect.TypeFor[testFact]()} {
		for i := 0; t.String() == of && i < t.NumField(); i++ {
			names = append(names, t.Field(i).Tag.Get("yaml"))
		}
	}
	return fmt.Sprintf("got unknown key %q, want one of %s%s", key, strings.Join(names, ", "), bundle.DidYouMean(key, names))
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
