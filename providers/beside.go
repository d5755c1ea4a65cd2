package providers

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// beside are the handles that a system gave for a lease when it prolonged it, and that are
// not in force: the answer was refused, or could not be put on record. The system may know the
// credential by either, so all of them end with the lease.
type beside struct {
	mu      sync.Mutex
	handles []string
	ends    []time.Time // of each; zero: never
	taken   bool        // by the end of the lease
}

// add reports whether the end of the lease is still to come, which ends the handle too.
func (b *beside) add(handle string, end time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.taken {
		return false
	}
	if i := slices.Index(b.handles, handle); i >= 0 { // given again
		b.ends[i] = end
		return true
	}
	b.handles, b.ends = append(b.handles, handle), append(b.ends, end)
	return true
}

// drop takes back a handle that is in force now.
func (b *beside) drop(handle string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.Index(b.handles, handle); i >= 0 {
		b.handles, b.ends = slices.Delete(b.handles, i, i+1), slices.Delete(b.ends, i, i+1)
	}
}

// take returns all of them at the end of the lease.
func (b *beside) take() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.taken = true
	return slices.Clone(b.handles)
}

// last returns the last of their ends and end; zero is never.
func (b *beside) last(end time.Time) time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, other := range b.ends {
		if end.IsZero() || other.IsZero() {
			return time.Time{}
		}
		if other.After(end) {
			end = other
		}
	}
	return end
}

// given notes the handle that a renewal of l gave: it ends with l unless it is in force by then,
// or at once where l has ended meanwhile.
func (p *Pool) given(l *lease, t Terms) {
	if t.Lease == "" || t.Lease == l.credential.Lease() || l.beside.add(t.Lease, t.NotAfter) {
		return
	}
	d := p.debt(l)
	d.record.Lease, d.held.Lease, d.end = t.Lease, t.Lease, t.NotAfter
	d.also, d.paid, d.withdraw = nil, nil, nil // which are for the end of l
	p.incur(d)
}

// unrecordable adds to why a renewal is refused what becomes of the handle that it gave,
// which no record has.
func (l *lease) unrecordable(t Terms, cause error) error {
	if t.Lease == "" || t.Lease == l.credential.Lease() {
		return cause
	}
	d := &debt{end: t.NotAfter}
	return fmt.Errorf("%w: it is revoked with the credential, by this process alone: where that can't, or is killed, %s", cause, d.byItself())
}
