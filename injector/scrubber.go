package injector

import (
	"bytes"
	"iter"
)

// mask replaces each byte of a secret: the length of an answer does not change
// and neither does the validity of its JSON.
const mask = '*'

// Scrubber masks secrets in one answer that comes in pieces: it has each of its searches
// read it, and gives out what they leave. What it holds back tells nobody who writes some
// of the stream, and sees when it comes, how a secret begins: it is the same whatever
// came, until more of a secret came than anybody guesses (see hold). It is never more
// than sixteen bytes for each of the longest secret's, and 64. It is not safe for
// concurrent use.
type Scrubber struct {
	own    search   // of what went with the call; without a matcher nothing is searched
	others []search // of what the same workload got before, or others did
	beside beside   // of others' secrets, in fewer forms
	join   joint    // what all of these find
	late   lateness
	pace   *pace // nil: nothing looked like a secret yet
	cut    bool  // see Cut
}

// NewScrubber returns a Scrubber for one answer, which masks others' secrets too; a
// nil s scrubs nothing.
func (s *Secrets) NewScrubber(others ...*Secrets) *Scrubber {
	if s == nil {
		return &Scrubber{}
	}
	scrub := &Scrubber{own: s.search()}
	if len(others) > 0 {
		scrub.others = make([]search, len(others))
		for i, other := range others {
			scrub.others[i] = other.search()
		}
	}
	return scrub
}

// searches are those of the answer, its own first.
func (s *Scrubber) searches() iter.Seq[*search] {
	return func(yield func(*search) bool) {
		if !yield(&s.own) {
			return
		}
		for i := range s.others {
			if !yield(&s.others[i]) {
				return
			}
		}
	}
}

// has reports whether one of the searches is for all forms of one.
func (s *Scrubber) has(one *Secrets) bool {
	for m := range s.searches() {
		if m.matcher != nil && m.of == one {
			return true
		}
	}
	return false
}

// AcrossParts makes s follow secrets from one part of a stream to the next.
func (s *Scrubber) AcrossParts() {
	for m := range s.searches() {
		m.acrossParts()
	}
}

// inParts reports whether secrets are followed from part to part.
func (s *Scrubber) inParts() bool { return s.own.across != nil }

// Next takes a piece of the stream and returns what may be given out. The
// returned slice is good until the next call; it is nil once s is Spent, and after what
// comes before the place where the answer is Cut. At the end call Last, or Rest.
func (s *Scrubber) Next(piece []byte) []byte {
	if s.own.matcher == nil {
		return piece
	}
	upto, ok := s.read(piece)
	if !ok {
		return nil
	}
	return s.join.give(min(upto, s.open()), &s.beside)
}

// Last is Next for a piece that is known to be the last: nothing is held back after it.
func (s *Scrubber) Last(piece []byte) []byte {
	if s.own.matcher == nil {
		return piece
	}
	upto, ok := s.read(piece)
	if ok && !s.Cut() {
		upto, ok = s.finish()
	}
	if !ok {
		return nil
	}
	s.join.keep = s.join.total
	return s.join.give(upto, &s.beside)
}

// Rest returns what was held back, where the stream ended with the last piece.
func (s *Scrubber) Rest() []byte { return s.Last(nil) }

// Message returns one whole message of a stream, masked, with nothing of it held
// back, or nil once the answer is Spent or Cut. Secrets are followed from one message to
// the next, after AcrossParts.
func (s *Scrubber) Message(text []byte) []byte {
	out := bytes.Clone(s.Last(text))
	if s.Cut() {
		return nil
	}
	return out
}

// read has all searches read a piece, and returns where the answer is to be cut, or
// where the piece ends. It returns false where nothing is to be given out.
func (s *Scrubber) read(piece []byte) (upto int64, ok bool) {
	s.catchUp()
	if s.Cut() {
		return 0, false
	}
	defer s.keepPace(s.began(), len(piece))
	s.join.take(piece)
	for m := range s.searches() {
		m.through(piece)
		s.join.find(m)
	}
	s.beside.next(s, piece, s.join.total)
	if s.inParts() {
		s.beside.finishLines(s.own.across.line)
	}
	return s.judged(false)
}

// finish ends what is under way in all searches, and returns what read does.
func (s *Scrubber) finish() (upto int64, ok bool) {
	for m := range s.searches() {
		m.finish()
		s.join.find(m)
	}
	s.late.hold = hold{}
	s.beside.rest(s, s.join.total)
	return s.judged(true)
}

// judged returns what read does, of what was read.
func (s *Scrubber) judged(over bool) (upto int64, ok bool) {
	upto = s.judge(over)
	if s.Spent() {
		s.join.text, s.join.given = s.join.text[:0], 0
		return 0, false
	}
	return upto, true
}
