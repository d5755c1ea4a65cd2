package broker

import (
	"slices"
	"sync"
	"time"

	"mintmark/injector"
	"mintmark/providers"
)

const (
	givenToOne  = 4    // credentials of a workload that are remembered
	givenToMost = 4096 // workloads
)

// given are the credentials that an upstream got of late, by the workload that they
// served. A server may keep one, as of the request that began a session, and say it
// in the answer to another: that of a renewed one, or of one for certain tools.
type given struct {
	mu   sync.Mutex
	late map[workload][]gift
}

type gift struct {
	secrets *injector.Secrets
	until   time.Time // zero: no end is known
}

// add notes that agent was served by c, whose secrets these are, and returns those
// of the others that still hold.
func (g *given) add(agent workload, c providers.Credential, secrets *injector.Secrets, now time.Time) (others []*injector.Secrets) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.late == nil || g.late[agent] == nil && len(g.late) >= givenToMost {
		g.late = make(map[workload][]gift)
	}
	known := slices.DeleteFunc(g.late[agent], func(one gift) bool {
		return one.secrets == secrets || !one.until.IsZero() && now.After(one.until)
	})
	for _, one := range known {
		others = append(others, one.secrets)
	}
	if len(known) == givenToOne {
		known = slices.Delete(known, 0, 1)
	}
	g.late[agent] = append(known, gift{secrets, c.NotAfter()})
	return others
}
