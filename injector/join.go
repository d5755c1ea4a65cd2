package injector

import (
	"bytes"
	"strings"
)

// joint is an answer on its way through several searches. Each sees it as it came, and
// what one of them finds is masked as it is given out: tokens of one issuer begin alike,
// and what one search masks of that beginning, as a part, would hide from the next that
// it is one of its own.
type joint struct {
	text  []byte // the last of what came, as it came
	given int    // how much of it was given out
	total int64  // how much came
	keep  int64  // where in the stream the oldest begins that is needed of what was given out
	piece []byte // the last of what came
	apart bool   // piece is not in text: it goes on as it came, unless something of it is held or masked
	lent  bool   // text is in the memory of whoever reads, see Room
	masks []span // in what was not given out
	out   []byte // what was given out last, where something was to be masked in it
	line  int64  // where the last line began
}

// take takes a piece.
func (j *joint) take(piece []byte) {
	if !j.lent {
		j.drop()
	}
	j.piece, j.apart = piece, true
	j.total += int64(len(piece))
	if len(j.text) > 0 {
		j.add()
	}
}

// lines notes where the last line of the piece begins.
func (j *joint) lines() {
	if i := max(bytes.LastIndexByte(j.piece, '\n'), bytes.LastIndexByte(j.piece, '\r')); i >= 0 {
		j.line = j.total - int64(len(j.piece)-i-1)
	}
}

// drop drops what was given out and is needed no more.
func (j *joint) drop() {
	n := max(0, min(j.given, int(j.keep-j.from())))
	if n == 0 {
		return
	}
	left := j.text[:copy(j.text, j.text[n:])]
	if cap(j.out) > 0 {
		clear(j.text[len(left):]) // there was a secret in it
	}
	j.text, j.given = left, j.given-n
}

// add adds the piece to text.
func (j *joint) add() {
	if j.apart {
		j.text, j.apart = append(j.text, j.piece...), false
	}
}

// from returns where in the stream text begins. The piece is in it, if there is one.
func (j *joint) from() int64 { return j.total - int64(len(j.text)) }

// since returns what came from a place in the stream on, as far as it is known.
func (j *joint) since(from int64) []byte {
	return j.text[max(0, min(len(j.text), int(from-j.from()))):]
}

// find takes over what m found.
func (j *joint) find(m *Scrubber) {
	for _, f := range m.found {
		if n := len(j.masks); n > 0 && j.masks[n-1].from <= f.from && f.from <= j.masks[n-1].to {
			j.masks[n-1].to = max(j.masks[n-1].to, f.to)
		} else {
			j.masks = append(j.masks, f)
		}
	}
	m.found = m.found[:0]
}

// give returns what was not given out and comes before a place in the stream, masked.
func (j *joint) give(upto int64, b *beside) []byte {
	clean := len(j.masks) == 0 && b.clear()
	if j.apart && clean && upto == j.total && j.given == len(j.text) {
		piece := j.piece
		j.piece, j.apart = nil, false
		j.text, j.given = j.text[:0], 0 // which the piece is not after
		return piece
	}
	j.add()
	at := j.from() + int64(j.given)
	out := j.text[j.given:max(j.given, int(upto-j.from()))]
	j.given += len(out)
	if clean {
		return out
	}
	j.out = append(j.out[:0], out...)
	j.mask(j.out, at)
	b.mask(j.out, at)
	return j.out
}

// mask masks what was found in text, which begins at a place in the stream.
func (j *joint) mask(text []byte, at int64) {
	left := j.masks[:0]
	for _, m := range j.masks {
		blank(text, int(m.from-at), int(m.to-at))
		if m.to > at+int64(len(text)) {
			left = append(left, m)
		}
	}
	j.masks = left
}

// Room puts what is held back at the beginning of buf, and returns the rest of it: the
// next piece is to be read into that, and is not copied then. buf is s's own until Room
// is called again, with nil at the end.
func (s *Scrubber) Room(buf []byte) []byte {
	j := &s.join
	j.drop()
	if s.matcher == nil || len(buf) == 0 || len(j.text) > len(buf)/2 {
		if j.lent {
			j.text, j.lent = bytes.Clone(j.text), false
		}
		return buf
	}
	j.text, j.lent = buf[:copy(buf, j.text)], true
	return buf[len(j.text):]
}

// Next takes a piece of the stream and returns what may be given out. The
// returned slice is good until the next call; it is nil once s is Spent, and after what
// comes before the place where the answer is Cut. At the end call Last, or Rest.
func (s *Scrubber) Next(piece []byte) []byte {
	if s.matcher == nil {
		return piece
	}
	upto, ok := s.searchAll(piece)
	if !ok {
		return nil
	}
	return s.join.give(min(upto, s.open()), &s.beside)
}

// Last is Next for a piece that is known to be the last: nothing is held back after it.
func (s *Scrubber) Last(piece []byte) []byte {
	if s.matcher == nil {
		return piece
	}
	upto, ok := s.searchAll(piece)
	if ok && !s.Cut() {
		upto, ok = s.finishAll()
	}
	if !ok {
		return nil
	}
	s.join.keep = s.join.total
	return s.join.give(upto, &s.beside)
}

// Rest returns what was held back, where the stream ended with the last piece.
func (s *Scrubber) Rest() []byte { return s.Last(nil) }

// searchAll has all searches read a piece, and returns where the answer is to be cut, or
// where the piece ends. It returns false where nothing is to be given out.
func (s *Scrubber) searchAll(piece []byte) (upto int64, ok bool) {
	s.catchUp()
	if s.Cut() {
		return 0, false
	}
	defer s.pace(s.began(), len(piece))
	j := &s.join
	j.take(piece)
	for m := s; m != nil; m = m.then {
		m.search(piece)
		j.find(m)
	}
	s.beside.next(s, piece, j.total)
	if s.across != nil {
		j.lines()
		s.beside.finishLines(j.line)
	}
	return s.judged(false)
}

// finishAll ends what is under way in all searches, and returns what searchAll does.
func (s *Scrubber) finishAll() (upto int64, ok bool) {
	for m := s; m != nil; m = m.then {
		m.finish()
		s.join.find(m)
	}
	s.beside.rest(s, s.join.total)
	return s.judged(true)
}

// judged returns what searchAll does, of what was read.
func (s *Scrubber) judged(over bool) (upto int64, ok bool) {
	upto = s.judge(over)
	if s.Spent() {
		s.join.text, s.join.given = s.join.text[:0], 0
		return 0, false
	}
	return upto, true
}

// open returns from where in the stream on what came is held back while more comes. With
// parts that is what came of a line: a finished event does not wait, and nobody reads
// half of one.
func (s *Scrubber) open() int64 {
	j := &s.join
	var tail int64
	for m := s; m != nil; m = m.then {
		if s.across != nil {
			tail = max(tail, m.matcher.limit)
		} else {
			tail = max(tail, m.matcher.tail)
		}
	}
	upto := j.total - tail
	if s.across != nil {
		upto = max(upto, j.line)
	}
	j.keep = s.held(upto)
	return j.keep
}

// held returns a place in the stream, or where before that begins what is held back for
// what came of a secret.
func (s *Scrubber) held(upto int64) int64 {
	for m := s; m != nil; m = m.then {
		upto = min(upto, m.hold.begins(m.at-m.matcher.limit))
	}
	return min(upto, s.beside.held(s.join.total))
}

// Came returns how much of the stream came.
func (s *Scrubber) Came() int64 { return s.join.total }

// Due returns what may be given out though nothing more came, as Next does, of what had
// come when Came returned upto. Of a secret that goes on after that, it has fewer
// characters than tell it from another text. With parts it is nothing.
func (s *Scrubber) Due(upto int64) []byte {
	if s.matcher == nil || s.across != nil || s.Spent() {
		return nil
	}
	return s.join.give(s.held(upto), &s.beside)
}

// Waits reports whether there is something that Due would give out for all that came.
func (s *Scrubber) Waits() bool {
	j := &s.join
	return s.matcher != nil && s.across == nil && s.held(j.total) > j.from()+int64(j.given)
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
	defer s.pace(s.began(), len(text))
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
