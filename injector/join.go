package injector

import (
	"bytes"
	"strings"
)

// joint is an answer on its way through several searches. Each sees it as it came,
// and masks in it what it finds: tokens of one issuer begin alike, and what one search
// masks of that beginning, as a part, would hide from the next that it is one of its
// own.
type joint struct {
	text  []byte // what came and was not given out, masked as far as that is known
	given int    // how much of it was given out by the call before
	total int64  // how much came
	piece []byte // the last of that
	apart bool   // piece is not in text: it goes on as it came, unless something is found
}

// take takes a piece, and drops what was given out.
func (j *joint) take(piece []byte) {
	j.text = j.text[:copy(j.text, j.text[j.given:])]
	j.given, j.piece, j.apart = 0, piece, true
	j.total += int64(len(piece))
	if len(j.text) > 0 {
		j.add()
	}
}

// add adds the piece to text.
func (j *joint) add() {
	if j.apart {
		j.text, j.apart = append(j.text, j.piece...), false
	}
}

// goOn masks what m found in the piece, which it searched, and returns up to where that is
// known.
func (j *joint) goOn(m *Scrubber) (upto int64) {
	out := m.goOn(j.piece)
	upto = m.at - int64(len(m.held))
	if len(out) > 0 && (len(j.piece) == 0 || &out[0] != &j.piece[0]) {
		j.add()
		j.mask(out, upto)
	}
	return upto
}

// from returns where in the stream text begins. The piece is in it.
func (j *joint) from() int64 { return j.total - int64(len(j.text)) }

// mask masks what is masked in out, which ends at a place in the stream.
func (j *joint) mask(out []byte, to int64) {
	at := int(to - j.from() - int64(len(out)))
	for {
		i := bytes.IndexByte(out, mask)
		if i < 0 {
			return
		}
		j.text[at+i] = mask
		at, out = at+i+1, out[i+1:]
	}
}

// give returns what comes before a place in the stream.
func (j *joint) give(upto int64) []byte {
	j.given = int(upto - j.from())
	return j.text[:j.given]
}

// Next takes a piece of the stream and returns what may be given out. The
// returned slice is good until the next call; it is nil once s is Spent, and after what
// comes before the place where the answer is Cut. At the end call Rest.
func (s *Scrubber) Next(piece []byte) []byte {
	if s.matcher == nil {
		return piece
	}
	s.catchUp()
	if s.Cut() {
		return nil
	}
	j := &s.join
	j.take(piece)
	for m := s; m != nil; m = m.then {
		m.search(piece)
	}
	upto := s.beside.next(s, piece, j.total)
	upto = min(upto, s.judge(false))
	for m := s; m != nil; m = m.then {
		upto = min(upto, j.goOn(m))
	}
	switch {
	case s.Spent():
		return nil
	case j.apart && upto == j.total && s.beside.clear():
		return piece
	}
	j.add()
	s.beside.mask(j.text[:upto-j.from()], j.from())
	return j.give(upto)
}

// Rest returns what was held back.
func (s *Scrubber) Rest() []byte {
	if s.matcher == nil || s.Cut() {
		return nil
	}
	j := &s.join
	j.take(nil)
	j.add()
	for m := s; m != nil; m = m.then {
		m.end()
	}
	s.beside.rest(s, j.total)
	upto := s.judge(true)
	for m := s; m != nil; m = m.then {
		j.mask(m.release(nil, m.at), m.at)
	}
	if s.Spent() {
		return nil
	}
	s.beside.mask(j.text, j.from())
	return j.give(upto)
}

// String returns text with every secret masked; it is for headers.
func (s *Scrubber) String(text string) string { return s.whole(text, false) }

// ErrorText returns that of an error with every secret masked, and what it quotes
// of the beginning of one: libraries quote as much as they have read. It is for the log
// alone: an agent that saw how much of what it had its upstream say is masked would learn
// from that how a secret goes on.
func (s *Scrubber) ErrorText(text string) string { return s.whole(text, true) }

func (s *Scrubber) whole(text string, beginnings bool) string {
	s.catchUp()
	out := text
	for m := s; m != nil; m = m.then {
		out = overlaid(text, out, m.masked(text, beginnings))
	}
	return s.beside.text(s, text, out, beginnings)
}

// overlaid returns text with all that is masked in one or the other.
func overlaid(text, one, other string) string {
	switch {
	case other == text:
		return one
	case one == text:
		return other
	}
	var b strings.Builder
	for i := range len(text) {
		if other[i] == mask {
			b.WriteByte(mask)
		} else {
			b.WriteByte(one[i])
		}
	}
	return b.String()
}
