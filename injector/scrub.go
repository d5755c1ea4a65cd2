package injector

import (
	"math/bits"
	"strings"
	"time"
)

// mask replaces each byte of a secret: the length of an answer does not change
// and neither does the validity of its JSON.
const mask = '*'

// Scrubber masks secrets in a stream that comes in pieces. What it holds back tells
// nobody who writes some of the stream, and sees when it comes, how a secret begins: it
// is the same whatever came, until more of a secret came than anybody guesses (see
// hold). It is never more than sixteen bytes for each of the longest secret's, and 64.
// It belongs to one answer and is not safe for concurrent use.
type Scrubber struct {
	of      *Secrets
	matcher *matcher // nil: of none, or of none any more
	at      int64    // how much of the stream was read
	under   readings
	next    readings
	ways    edges
	found   []span  // in what was read, and which the joint does not know of yet
	last    []int64 // by form, where its last hit began, and one
	hits    int
	left    int       // hits of those behind s that were given up
	hold    hold      // without parts
	across  *across   // nil: each secret is in one piece
	line    int64     // where the last line began, with parts
	then    *Scrubber // of other secrets, in the same answer; nil: none
	beside  beside    // of others' secrets
	join    joint     // what all of these find
	late    Late      // or nil
	seen    uint64    // of late
	aside   int64     // bytes that were read and are none of the stream
	looks   looks     // that were close
	near    int64     // up to where what was looked at may go on, of all bytes that were read
	paced   time.Time // see NotBefore
	spent   bool      // see Spent
}

// span is a secret that was found, by its place in the stream.
type span struct{ from, to int64 }

// NewScrubber returns a Scrubber for one answer, which masks others' secrets too; a
// nil s scrubs nothing.
func (s *Secrets) NewScrubber(others ...*Secrets) *Scrubber {
	if s == nil {
		return &Scrubber{}
	}
	scrub := &Scrubber{of: s, matcher: s.matcher()}
	if len(others) > 0 {
		scrub.then = others[0].NewScrubber(others[1:]...)
	}
	return scrub
}

// masked returns text with the secrets of this search masked, and with beginnings also
// what is the beginning of one. It counts what that costs to what the stream may cost.
func (s *Scrubber) masked(text string, beginnings bool) string {
	if s.spent {
		return strings.Repeat(string(mask), len(text))
	}
	if s.matcher == nil || !beginnings && s.matcher.clean.has(text) {
		return text
	}
	b := []byte(text)
	s.aside += int64(len(b))
	if s.matcher.skip(b, 0) == len(b) {
		return text
	}
	whole := &Scrubber{matcher: s.matcher, aside: s.at + s.aside - int64(len(b))}
	if beginnings {
		whole.across = &across{quoted: true}
	}
	whole.ways.seen = s.ways.seen
	whole.search(b)
	whole.finish()
	s.hits += whole.hits
	s.ways.seen = whole.ways.seen
	s.looks.join(whole.looks)
	switch {
	case whole.spent:
		s.spent = true
		return strings.Repeat(string(mask), len(text))
	case whole.hits == 0:
		if !beginnings {
			s.matcher.clean.add(text)
		}
		return text
	}
	for _, f := range whole.found {
		blank(b, int(f.from), int(f.to))
	}
	return string(b)
}

// search follows the secrets of s through a piece.
func (s *Scrubber) search(piece []byte) {
	if s.across != nil {
		s.readParts(piece)
	} else {
		s.read(piece)
	}
	s.at += int64(len(piece))
}

// finish ends what is under way.
func (s *Scrubber) finish() {
	if s.across != nil {
		s.endParts(s.at, '\n')
	}
	s.under.reset()
	s.hold = hold{}
}

// read follows every secret that may be under way through a piece.
func (s *Scrubber) read(piece []byte) {
	for i := 0; i < len(piece) && !s.spent; i++ {
		if len(s.under.list) == 0 {
			if i = s.matcher.skip(piece, i); i == len(piece) {
				break
			}
		}
		s.step(piece, i, false)
	}
}

// step takes the byte at i, with which a secret may begin, as far as piece goes,
// and one may go on that began in another part when opens is true.
func (s *Scrubber) step(piece []byte, i int, opens bool) {
	s.prepare()
	now := s.at + int64(i)
	s.next.reset()
	s.ways.only = int16(piece[i])
	young := s.young(now)
	for _, r := range s.under.list {
		if r.start < young {
			s.lose(&r, now)
			r.start, r.worn = s.aged(&r, young, now)
		}
		if !s.follow(r, now) {
			s.lose(&r, now)
		}
	}
	if opens {
		s.resume(now)
	}
	for set := s.matcher.begins(piece, i); set != 0; set &= set - 1 {
		for _, f := range s.matcher.bucket[bits.TrailingZeros16(set)] {
			s.follow(reading{place: place{form: f}, start: now}, now)
		}
	}
	s.under, s.next = s.next, s.under
	if c := piece[i]; s.across != nil && !s.across.quoted && (c == '\n' || c == '\r') {
		s.line = now + 1
	}
	s.spend(now)
}

// young returns where in the stream begins what is held back whatever it is, when the
// byte at now is the last.
func (s *Scrubber) young(now int64) int64 {
	if s.across != nil {
		return max(now+1-s.matcher.limit, s.line)
	}
	return now + 1 - s.matcher.tail
}

// aged returns from where r is masked which began before young: only what is held back is,
// so that it is the same in pieces of any size.
func (s *Scrubber) aged(r *reading, young, now int64) (start int64, worn bool) {
	m := s.matcher
	if s.across != nil || r.worn || int(r.place.pos) < m.forms[r.place.form].known() {
		return young, r.worn
	}
	if r.start <= now-m.limit {
		return young, true
	}
	return r.start, false
}

// prepare makes room, in an answer that needs it.
func (s *Scrubber) prepare() {
	if s.under.list == nil {
		room := make([]reading, 2*few)
		s.under.list, s.next.list = room[:0:few], room[few:few]
		s.ways.list = make([]edge, 0, 8)
	}
}

// follow goes from one place to all that the byte leads to, and returns whether there is any.
func (s *Scrubber) follow(r reading, now int64) (on bool) {
	s.ways.seen++
	f := &s.matcher.forms[r.place.form]
	if r.idle++; r.idle > mostIdle {
		return false
	}
	if c := byte(s.ways.only & 0xff); f.stays(r.place, c) {
		s.next.add(r)
		return true
	} else if !f.takes(r.place, c) {
		return false
	}
	s.ways.list = s.ways.list[:0]
	f.from(r.place, &s.ways)
	for _, e := range s.ways.list {
		if int(e.to.pos) == len(f.text) {
			s.hit(r, now+1)
		} else {
			to := r
			to.place = e.to
			if e.to.pos != r.place.pos {
				to.upto, to.idle = now+1, 0
				if int(r.place.pos) < f.close && f.close <= int(e.to.pos) {
					s.looks.add(1)
				}
				if n := f.known(); int(r.place.pos) < n && int(e.to.pos) >= n && s.across == nil {
					s.hold.put(r.start, e.to.form, now-s.matcher.limit)
				}
			}
			s.next.add(to)
		}
	}
	return len(s.ways.list) > 0
}

// hit notes a secret. One that can end in two places, as when its last
// character is the first of its own escape, is one hit.
func (s *Scrubber) hit(r reading, to int64) {
	if s.last == nil {
		s.last = make([]int64, len(s.matcher.forms))
	}
	if s.last[r.place.form] != r.start+1 {
		s.count(&r)
		s.last[r.place.form] = r.start + 1
	}
	s.hold.whole(r.start, to)
	s.found = append(s.found, span{r.start, to})
	if s.across != nil {
		s.across.stands(span{r.start, to})
	}
}

// oldest returns where the oldest secret that may be under way begins.
func (s *Scrubber) oldest() int64 {
	oldest := s.at
	for _, r := range s.under.list {
		oldest = min(oldest, r.start)
	}
	return oldest
}
