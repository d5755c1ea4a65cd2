package pins

import (
	"maps"
	"slices"
	"time"

	"golang.org/x/time/rate"
)

// restless bounds how often the tools of an upstream that change on and on are
// written and put on record: else a server that words a tool anew for each list
// could fill the disk under the log, and so stop every call. What is not kept is
// counted, and holds in memory: see pending. The nil restless is of an upstream
// none of whose tools has changed.
type restless struct {
	limit   *rate.Limiter
	tools   map[string]turn // those that have changed
	skipped int64
}

// turn is where a tool that keeps changing stands.
type turn struct {
	kept time.Time // when a change of it was last kept
	seen string    // the digest that was seen last, where it was not kept; "" where it was
}

const (
	everyTool     = time.Minute     // between two changes of a tool that are kept, after the first
	everyUpstream = 6 * time.Second // likewise, over all tools of an upstream
	atOnce        = 512             // of an upstream, before that
)

// restlessOf returns the bounds of an upstream one of whose tools has changed.
func (p *Pins) restlessOf(upstream string) *restless {
	if p.restless[upstream] == nil {
		p.restless[upstream] = &restless{limit: rate.NewLimiter(rate.Every(everyUpstream), atOnce), tools: map[string]turn{}}
	}
	return p.restless[upstream]
}

// admits reports whether it is the turn of a tool.
func (r *restless) admits(tool string, now time.Time) bool {
	return r == nil || now.Sub(r.tools[tool].kept) >= everyTool && r.limit.AllowN(now, 1)
}

func (r *restless) kept(tool string, now time.Time) { r.tools[tool] = turn{kept: now} }

// skip notes what a tool is now, though it is not kept. The same again is counted
// once.
func (r *restless) skip(tool, digest string) {
	t := r.tools[tool]
	if t.seen != digest {
		r.skipped++
	}
	t.seen = digest
	r.tools[tool] = t
}

// forget ends what skip noted: the tool is what is kept of it.
func (r *restless) forget(tool string) {
	if r == nil || r.tools[tool].seen == "" {
		return
	}
	r.tools[tool] = turn{kept: r.tools[tool].kept}
}

// seen returns the digest that was seen last and not kept, or "".
func (r *restless) seen(tool string) string {
	if r == nil {
		return ""
	}
	return r.tools[tool].seen
}

// Skipped returns how many changes of an upstream's tools were not kept since it
// was asked last.
func (p *Pins) Skipped(upstream string) (n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r := p.restless[upstream]; r != nil {
		n, r.skipped = r.skipped, 0
	}
	return n
}

// Restless returns the names of the upstreams whose tools have changed, sorted.
func (p *Pins) Restless() []string {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return slices.Sorted(maps.Keys(p.restless))
}
