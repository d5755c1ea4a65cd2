package providers

import "mintmark/broker/audit"

// tale is what issuance records tell, in their order, of what has ended and what has not.
// The zero tale is ready.
type tale struct {
	heard int             // how many records: which of two came later
	last  map[string]told // of each credential; of what is in escrow, by its name there
	over  map[string]int  // by endedWith: the last record that says that it has ended
}

type told struct {
	record audit.Record
	at     int
}

func (t *tale) hear(r *audit.Record) {
	if t.last == nil {
		t.last, t.over = make(map[string]told), make(map[string]int)
	}
	t.heard++
	of := r.Credential
	if r.Escrow {
		of = escrowName(r)
	}
	switch {
	case r.Event == "revoke" || r.Event == eventLogout:
		delete(t.last, of)
		if r.Lease != "" {
			t.over[endedWith(r)] = t.heard
		}
	case r.Kind == audit.Issuance && r.Credential != "" && (r.Lease != "" || r.Escrow):
		t.last[of] = told{*r, t.heard}
	}
}

// left returns the last record of each thing that has not ended, in no order. A lease whose handle
// was ended later, with another lease of it, has ended too, though no record names it: one
// that did, beside that of the other, would be missing after a crash between the two.
func (t *tale) left() map[string]audit.Record {
	left := make(map[string]audit.Record)
	for _, last := range t.last {
		of := endedWith(&last.record)
		if last.at < t.over[of] {
			continue
		}
		if other, ok := left[of]; !ok || endsLater(&last.record, &other) {
			left[of] = last.record
		}
	}
	return left
}

// endsLater reports whether a system ends what a is of later than what b is of: of what it
// gave out twice, that is known of either. Of two with one end it is the newer record.
func endsLater(a, b *audit.Record) bool {
	switch {
	case a.SystemEnd.Equal(b.SystemEnd):
		return a.Seq > b.Seq
	case a.SystemEnd.IsZero() || b.SystemEnd.IsZero():
		return a.SystemEnd.IsZero()
	}
	return a.SystemEnd.After(b.SystemEnd)
}

// endedWith names what ends together at its system: what is of one handle, or, where there
// is none, of one secret.
func endedWith(r *audit.Record) string {
	switch {
	case r.Lease == "":
		return escrowName(r)
	case isLogin(r.Event):
		return "login\x00" + r.Provider + "\x00" + r.Issuer + "\x00" + r.Lease
	}
	return r.Provider + "\x00" + r.Issuer + "\x00" + r.Lease
}
