package providers

import (
	"context"
	"crypto/rand"
	"slices"
	"sync"
	"time"

	"mintmark/broker/audit"
	"mintmark/internal/fault"
)

// The events of a LoginBound provider.
const (
	eventLogin  = "login"
	eventLogout = "logout"
)

// LoginBound is a Provider whose system ends, with a login of the broker's, all
// that was made under it. A process that is killed between a mint and its record
// leaves a credential that nobody knows of: the login is on record before it is
// used, so the next start ends it, and the credential with it.
type LoginBound interface {
	// ReportLogins is called once, before any Mint. From then on the provider
	// reports each login before it uses it, and again when it gets a later end.
	// handle names it and is no secret; a zero end is none. After an error the
	// login must not be used: the provider ends it.
	ReportLogins(report func(ctx context.Context, handle string, end time.Time) error)
	// Logout ends the login that handle names, of this process or of one
	// before, and everything made under it. One that has ended is no error.
	Logout(ctx context.Context, handle string) error
}

// login is one that has not ended.
type login struct {
	reg    *registration
	record audit.Record
}

// logins are all of a Pool's, oldest first.
type logins struct {
	mu     sync.Mutex
	all    []login
	closed bool                  // the Pool has ended, and looks for none any more
	needed map[*registration]int // by how much of what is paid after that
}

// need notes that n more of what is paid after the Pool's end may take a login of reg.
func (l *logins) need(reg *registration, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.needed == nil {
		l.needed = make(map[*registration]int)
	}
	l.needed[reg] += n
}

// listen has reg's logins reported to the Pool.
func (p *Pool) listen(reg *registration) {
	if reg.logins == nil {
		return
	}
	reg.logins.ReportLogins(func(_ context.Context, handle string, end time.Time) error {
		if !audit.Fits(handle) { // the next start could not end it by what is on record
			return reg.named(fault.New("lease", fault.Internal, "the broker's login at the credential provider has a longer handle than a record can hold"), reg.tryIt())
		}
		if err := p.loggedIn(reg, handle, end); err != nil {
			return reg.named(fault.Wrap("lease", fault.Unavailable, "the broker cannot record its login at the credential provider", err), "")
		}
		return nil
	})
}

// loggedIn puts a login on record, or the later end of one.
func (p *Pool) loggedIn(reg *registration, handle string, end time.Time) error {
	p.logins.mu.Lock()
	defer p.logins.mu.Unlock()
	now := p.clock()
	id := rand.Text()
	p.logins.all = slices.DeleteFunc(p.logins.all, func(l login) bool {
		same := l.reg == reg && l.record.Lease == handle
		if same {
			id = l.record.Credential
		}
		return same || !l.record.SystemEnd.IsZero() && now.After(l.record.SystemEnd)
	})
	r := audit.Record{Kind: audit.Issuance, Event: eventLogin, Bundle: p.bundle(), Provider: reg.name, Credential: id, Lease: handle, Issuer: reg.issuer(), SystemEnd: end.Round(0)}
	// Kept whatever becomes of the record, which may be written with an error.
	p.logins.all = append(p.logins.all, login{reg, r})
	return p.record(&r)
}

// logOut has every login ended, in no order: each is ended by itself. The last time is when
// the Pool has ended.
func (p *Pool) logOut(last bool) {
	p.logins.mu.Lock()
	defer p.logins.mu.Unlock()
	p.logins.closed = last
	for _, l := range p.logins.all {
		p.debts.add(l.debt())
	}
	p.logins.all = nil
}

// logOutAfter has the logins of reg ended that were reported when the Pool had ended, unless
// they are needed yet. It is called by whatever may have logged in so late, as what ignores
// its context does.
func (p *Pool) logOutAfter(reg *registration) {
	if p.ctx.Err() == nil {
		return
	}
	for _, l := range p.logins.unneeded(reg) {
		d := l.debt()
		p.owesLate(d, func() {})
		p.after.add(d)
	}
}

// unneeded takes out the logins of reg, if the Pool has ended and nothing needs them.
func (l *logins) unneeded(reg *registration) (taken []login) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed || l.needed[reg] > 0 {
		return nil
	}
	l.all = slices.DeleteFunc(l.all, func(l login) bool {
		if l.reg == reg {
			taken = append(taken, l)
		}
		return l.reg == reg
	})
	return taken
}

// debt is what the end of l owes to its system.
func (l login) debt() *debt {
	r := l.record
	r.Event = eventLogout
	return &debt{reg: l.reg, record: r, held: Held{Lease: r.Lease}, end: r.SystemEnd}
}
