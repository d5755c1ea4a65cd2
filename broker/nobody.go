package broker

import (
	"context"
	"log/slog"
	"maps"
	"slices"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// mostShown is how many workloads one warning names.
const mostShown = 10

// warnOfNobody tells of facts about workloads that no call can come from, or be permitted to:
// a scan that is filed under another name than its agent has is found for nobody, and the
// calls that want one are denied. A digest is passed over: any workload may have it.
func (b *Broker) warnOfNobody(ctx context.Context, snap *snapshot) {
	if len(snap.policies.IDs()) == 0 {
		return // which is told of
	}
	domains, known := b.policyOptionsNow(snap.bundle).TrustDomains, snap.tracker.Known()
	for _, name := range slices.Sorted(maps.Keys(known)) {
		nobody := slices.DeleteFunc(known[name], func(subject string) bool {
			id, err := spiffeid.FromString(subject)
			return err != nil || slices.Contains(domains, id.TrustDomain().Name()) && snap.concerns(id)
		})
		if len(nobody) > 0 {
			b.logger.LogAttrs(ctx, slog.LevelWarn, "posture of workloads that no policy permits anything, or of a trust domain that no agent comes from: is it filed under another name than the agent has?",
				slog.String("posture", name), slog.Int("count", len(nobody)), slog.Any("workloads", nobody[:min(len(nobody), mostShown)]))
		}
	}
}

// concerns reports whether a policy may permit an agent something at some upstream.
func (s *snapshot) concerns(agent spiffeid.ID) bool {
	for name := range s.upstreams {
		if s.policies.Concerns(agent, name) {
			return true
		}
	}
	return false
}
