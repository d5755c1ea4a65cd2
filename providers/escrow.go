package providers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"mintmark/broker/audit"
	"mintmark/internal/fault"
)

// Escrow keeps for the next start, where no disk has it, what a system ends only where
// it is shown the secret itself: a token of an Issuing provider that is Revocable and has no
// Lease. What it is given and what it returns is overwritten by the Pool right after.
type Escrow interface {
	// Keep keeps value under name until erase is called, in the place of what is there.
	// It is kept when Keep returns, whatever becomes of the process.
	Keep(name string, value []byte) (erase func(), err error)
	// Find returns what is kept under name. The error wraps fs.ErrNotExist where nothing
	// is, and a *fs.PathError where it may be read another time; erase is never nil.
	Find(name string) (value []byte, erase func(), err error)
}

// escrowName is under what r's secret is kept: what a system gave out more than once is
// there once, as it ends with the last lease of it.
func escrowName(r *audit.Record) string { return r.Provider + "." + r.Fingerprint }

// kept is what is known of a secret in escrow.
type kept struct {
	Record audit.Record `json:"record"`
	Issuer string       `json:"issuer,omitempty"`
}

// issuer returns whose secrets reg has, as far as it says that.
func (reg *registration) issuer() string {
	if issuing, ok := reg.Provider.(Issuing); ok {
		return issuing.Issuer()
	}
	return ""
}

// deposit has what l is made of kept for the next start, where that could not have it
// revoked otherwise. It comes before the record of l, and before any use.
func (p *Pool) deposit(l *lease) (err error) {
	if p.escrow == nil || l.reg.issuer() == "" || l.credential.Lease() != "" || !l.revocable(p.clock()) || open(l.credential.lease.material.Token) == "" {
		return nil
	}
	l.escrowed = true // which the record says
	if l.erase, err = p.keepSecret(l, p.entry(eventOrphan, l, l.born)); err != nil {
		l.escrowed = false
		return l.reg.named(fault.Wrap("lease", fault.Unavailable, "the broker cannot keep what it needs to revoke the new credential after a crash", err), "")
	}
	return nil
}

// keepSecret keeps what l is made of beside r, by which the next start knows what it is
// even where the log does not.
func (p *Pool) keepSecret(l *lease, r *audit.Record) (erase func(), err error) {
	about, err := json.Marshal(kept{Record: orphan(*r), Issuer: l.reg.issuer()})
	if err != nil {
		return nil, err
	}
	token := open(l.credential.lease.material.Token)
	value := make([]byte, 0, len(about)+1+len(token))               // which never grows: nothing is left behind
	value = append(append(append(value, about...), '\n'), token...) // JSON has no line break of its own
	defer clear(value)
	return p.escrow.Keep(escrowName(r), value)
}

// withdraw erases what is kept of l, which its system has ended by itself, unless
// another lease is of the same.
func (p *Pool) withdraw(l *lease) {
	if l.erase != nil && !p.siblings.have(p.entry(eventOrphan, l, l.born)) {
		l.erase()
	}
}

// claim has d pay with what is kept of it, and erase that.
func (p *Pool) claim(d *debt) error {
	if !d.record.Escrow && d.record.Lease != "" {
		return nil
	}
	if p.escrow == nil || !d.record.Escrow {
		return fault.New("revoke", fault.Internal, "its system ends it only where it is shown the secret, which no escrow is open for: "+d.byItself())
	}
	value, erase, err := p.escrow.Find(escrowName(&d.record))
	if errors.Is(err, fs.ErrNotExist) {
		return fault.Wrap("revoke", fault.Internal, "its system ends it only where it is shown the secret, which is not in escrow, as after a restart of the machine: "+d.byItself(), err)
	}
	if err != nil {
		return fault.Wrap("revoke", fault.Internal, "what is in escrow of it can't be read: "+d.byItself(), err)
	}
	defer clear(value)
	about, token, err := splitKept(value)
	if err != nil {
		return fault.Wrap("revoke", fault.Internal, "what is in escrow of it can't be read: "+d.byItself(), err)
	}
	if now := d.reg.issuer(); now == "" || now != about.Issuer {
		return fault.New("revoke", fault.Internal, fmt.Sprintf("it was issued by %q and the provider is registered for %q now, which is not shown it: %s", about.Issuer, now, d.byItself()))
	}
	secret := secretOf(token)
	d.held.Opened = Opened{Parts: Parts{Material{Token: secret}}}
	d.withdraw, d.paid = erase, secret.drop
	return nil
}

// forsake erases what is kept of d, which has ended by itself: also where nobody is
// registered by its name any more, or another issuer.
func (p *Pool) forsake(d *debt) {
	if !d.record.Escrow || p.escrow == nil {
		return
	}
	value, erase, err := p.escrow.Find(escrowName(&d.record))
	clear(value)
	if err == nil && !p.siblings.have(&d.record) {
		erase()
	}
}

// byItself says when d ends where nobody can end it.
func (d *debt) byItself() string {
	if d.end.IsZero() {
		return "end it at its system by hand"
	}
	return "it ends by itself at " + d.end.UTC().Format(time.RFC3339)
}

// Unrecorded returns what e keeps under the given names and the orphans of the log do
// not name: what a process left that was killed before the record of a mint, or right
// after a revocation. Each is a record as Orphans returns it. What has ended by itself,
// or is not what a Pool kept, is erased; what can't be read now stays.
func Unrecorded(e Escrow, names []string, orphans []audit.Record, now time.Time, logger *slog.Logger) []audit.Record {
	known := make(map[string]bool, len(orphans))
	for i := range orphans {
		if orphans[i].Escrow {
			known[escrowName(&orphans[i])] = true
		}
	}
	var left []audit.Record
	for _, name := range names {
		if known[name] {
			continue
		}
		r, erase, err := describe(e, name)
		var unread *fs.PathError
		switch {
		case errors.Is(err, fs.ErrNotExist): // erased meanwhile
		case errors.As(err, &unread):
			logger.LogAttrs(context.Background(), slog.LevelError, "what is in escrow can't be read now: the next start tries again", slog.String("name", name), slog.Any("error", err))
		case err != nil:
			logger.LogAttrs(context.Background(), slog.LevelError, "what is in escrow can't be read, and is erased", slog.String("name", name), slog.Any("error", err))
			erase()
		case !r.SystemEnd.IsZero() && !now.Before(r.SystemEnd):
			erase()
		default:
			left = append(left, r)
		}
	}
	return left
}

// describe returns what is kept under name without the secret.
func describe(e Escrow, name string) (r audit.Record, erase func(), err error) {
	value, erase, err := e.Find(name)
	if err != nil {
		return r, erase, err
	}
	defer clear(value)
	about, _, err := splitKept(value)
	if err == nil && escrowName(&about.Record) != name {
		err = errors.New("expected what is kept under this name, got what is of another")
	}
	return about.Record, erase, err
}

// splitKept returns the parts of what keepSecret made.
func splitKept(value []byte) (about kept, token []byte, err error) {
	line, token, _ := bytes.Cut(value, []byte{'\n'})
	if err := json.Unmarshal(line, &about); err != nil {
		return kept{}, nil, errors.New("expected a record in front of the token, got none")
	}
	if len(token) == 0 || !about.Record.Escrow {
		return kept{}, nil, errors.New("expected a record and a token, got no token")
	}
	return about, token, nil
}
