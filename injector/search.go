package injector

import (
	"math/bits"
	"slices"
)

// search follows the secrets of one *Secrets through an answer, with all readings of it
// at once: where one may be under way, and where one was found.
type search struct {
	of      *Secrets
	matcher *matcher // nil: of none
	at      int64    // how much of the stream was read
	aside   int64    // bytes that were read and are none of the stream
	under   readings
	next    readings
	ways    edges
	found   []span  // in what was read, and which the joint does not know of yet
	last    []int64 // by form, where its last hit began, and one
	hits    int
	hold    hold    // without parts
	across  *across // nil: each secret is in one piece
	looks   looks   // that were close
	spent   bool    // see Scrubber.Spent
}

// span is a secret that was found, by its place in the stream.
type span struct{ from, to int64 }

// search returns one for what is of s.
func (s *Secrets) search() search { return search{of: s, matcher: s.matcher()} }

// through follows the secrets through a piece.
func (s *search) through(piece []byte) {
	if s.across != nil {
		s.readParts(piece)
	} else {
		s.read(piece)
	}
	s.at += int64(len(piece))
}

// finish ends what is under way.
func (s *search) finish() {
	if s.across != nil {
		s.endParts(s.at, '\n')
		s.across.line = s.at // there is no line break before what may follow
	}
	s.under.reset()
	s.hold = hold{}
}

// read follows every secret that may be under way through a piece.
func (s *search) read(piece []byte) {
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
func (s *search) step(piece []byte, i int, opens bool) {
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
			s.follow(reading{place: place{form: f}, start: now, last: now}, now)
		}
	}
	s.under, s.next = s.next, s.under
	s.spend(now)
}

// young returns where in the stream begins what is held back whatever it is, when the
// byte at now is the last.
func (s *search) young(now int64) int64 {
	if s.across != nil {
		return max(now+1-s.matcher.limit, s.across.line)
	}
	return now + 1 - s.matcher.tail
}

// aged returns from where r is masked which began before young: only what is held back is,
// so that it is the same in pieces of any size.
func (s *search) aged(r *reading, young, now int64) (start int64, worn bool) {
	m := s.matcher
	if s.across != nil || r.worn || int(r.place.pos) < m.forms[r.place.form].part {
		return young, r.worn
	}
	if r.start <= now-m.limit {
		return young, true
	}
	return r.start, false
}

// prepare makes room, in an answer that needs it.
func (s *search) prepare() {
	if s.under.list == nil {
		room := make([]reading, 2*few)
		s.under.list, s.next.list = room[:0:few], room[few:few]
		s.ways.list = make([]edge, 0, 8)
	}
}

// follow goes from one place to all that the byte leads to, and returns whether there is any.
func (s *search) follow(r reading, now int64) (on bool) {
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
				if n := f.part; int(r.place.pos) < n && int(e.to.pos) >= n && s.across == nil {
					s.hold.put(r.start, now, e.to.form, now-s.matcher.limit)
				}
			}
			s.next.add(to)
		}
	}
	return len(s.ways.list) > 0
}

// hit notes a secret. One that can end in two places, as when its last
// character is the first of its own escape, is one hit, and so is one that is read as two
// forms: \xc3\xa4 is what a server read in UTF-8, and in Latin-1.
func (s *search) hit(r reading, to int64) {
	if s.last == nil {
		s.last = make([]int64, len(s.matcher.forms))
	}
	if !slices.Contains(s.last, r.start+1) {
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
func (s *search) oldest() int64 {
	oldest := s.at
	for _, r := range s.under.list {
		oldest = min(oldest, r.start)
	}
	return oldest
}
