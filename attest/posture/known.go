package posture

import (
	"maps"
	"slices"
)

// Known returns whom each source states a fact about now, stale or not: workloads and digests,
// sorted, by the source's name.
func (t *Tracker) Known() map[string][]string {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make(map[string][]string, len(t.held))
	for name, about := range t.held {
		out[name] = slices.Sorted(maps.Keys(about))
	}
	return out
}
