package injector

import "slices"

// across follows secrets that an upstream says in parts: over the events of a
// stream, over the strings of the JSON in them, over the data lines of one
// event. A part ends at an edge, and nothing waits for the next one. What was said of a
// secret up to its first bound (kind.go) is masked at the end of the part, and so is what
// goes on with it in the next ones; what was said up to the second cuts the answer (cut.go).
type across struct {
	parts  []begun
	line   int64   // where in the stream the line under way begins
	lines  int     // how many ended
	opened int     // in how many places one could go on, while there were any
	prior  [6]byte // the last bytes of what was read
	quoted bool    // of an error's text, which nothing cuts
	cuts
}

// begun is a secret of which the beginning was said.
type begun struct {
	reading
	until  int // the line at which it is given up
	opened int // across.opened, when it was said
}

const (
	mostParts   = 96  // are followed; then the oldest is given up
	mostShort   = 24  // and so many that are shorter than this:
	shortPart   = 4   // by chance, every other string ends in one
	partsLines  = 64  // how long one is: about twenty events,
	partsPlaces = 128 // and in so many places: each string has two
	shortLines  = 9   // and so long one is whose last part is short: of a model that says hex, digit
	// by digit, most parts go on within twenty events by chance, and in these few do
)

// acrossParts makes s follow secrets from one part of a stream to the next.
func (s *search) acrossParts() {
	if s.matcher != nil && s.across == nil {
		s.across = &across{}
	}
}

// resume goes on at now with the parts that the next byte may belong to.
func (s *search) resume(now int64) {
	s.across.opened++
	for i := range s.across.parts {
		p := &s.across.parts[i]
		if s.across.opened-p.opened > partsPlaces {
			continue
		}
		s.follow(reading{place: p.place, start: now, last: now, counted: p.counted, from: p.place.pos}, now)
	}
}

// isEdge reports whether a part can end before c: with its JSON string, also
// one within another, or with its line.
func isEdge(c byte) bool { return c == '"' || c == '\\' || c == '\n' || c == '\r' }

// edgeAfter returns the first edge in piece after i.
func edgeAfter(piece []byte, i int) int {
	for i++; i < len(piece); i++ {
		if isEdge(piece[i]) {
			return i
		}
	}
	return len(piece)
}

// readParts is read for a stream whose parts are followed.
func (s *search) readParts(piece []byte) {
	a, edge := s.across, -1
	for i := 0; i < len(piece) && !s.spent; {
		if edge <= i {
			if isEdge(piece[i]) {
				s.endParts(s.at+int64(i), piece[i])
			}
			edge = edgeAfter(piece, i)
		}
		sees := piece[:edge] // what begins here may be no longer than its part
		if piece[i] == '\\' && edge == i+1 && edge < len(piece) && piece[edge] == '"' {
			sees = piece[:edge+1] // most often the end of a string within another, which begins nothing
		}
		opens := len(a.parts) > 0 && a.opens(piece, i)
		if len(s.under.list) == 0 && !opens {
			if next := a.skip(s.matcher, piece, sees, i); next > i {
				i = next
				continue
			}
		}
		s.step(sees, i, opens)
		i++
	}
	a.read(piece)
}

// skip returns the first place from i on where a secret can begin or go on, or
// where what is seen ends.
func (a *across) skip(m *matcher, piece, sees []byte, i int) int {
	next := m.skip(sees, i)
	if len(a.parts) == 0 {
		return next
	}
	for j := i + 1; j < next; j++ {
		if a.opens(piece, j) {
			return j
		}
	}
	return next
}

// opens reports whether a part can begin at i: in a string, or as the data of an
// event. What is said elsewhere, as its id, is not touched for the sake of a part.
func (a *across) opens(piece []byte, i int) bool {
	const data = "data:"
	at := i
	switch a.before(piece, i) {
	case '"':
		return true
	case ' ':
		at--
	case ':':
	default:
		return false
	}
	for n := len(data); n > 0; n, at = n-1, at-1 {
		if a.before(piece, at) != data[n-1] {
			return false
		}
	}
	return true
}

// before returns the byte before i, which may have come with an earlier piece.
func (a *across) before(piece []byte, i int) byte {
	if i > 0 {
		return piece[i-1]
	}
	return a.prior[len(a.prior)+i-1]
}

// read keeps what the next piece is to know of this one.
func (a *across) read(piece []byte) {
	if n := len(piece); n < len(a.prior) {
		copy(a.prior[:], a.prior[n:])
		copy(a.prior[len(a.prior)-n:], piece)
		return
	}
	copy(a.prior[:], piece[len(piece)-len(a.prior):])
}

// endParts ends the parts under way before the byte c, at now. They may go on
// in it all the same, unless it ends their line: it may be a character of the secret.
func (s *search) endParts(now int64, c byte) {
	ends := !s.across.quoted && (c == '\n' || c == '\r')
	for i := range s.under.list {
		r := &s.under.list[i]
		if s.tells(r) {
			if ends {
				s.lose(r, now)
			}
			continue
		}
		if int(r.place.pos) >= s.matcher.forms[r.place.form].part {
			s.count(r)
			s.found = append(s.found, span{r.start, max(r.start, r.partTo(now))})
		}
		if !r.place.framing() && (c != '"' || r.place.at != backslash && !s.quotes(r, now)) {
			s.across.keep(*r)
			s.ways.seen += 1 + len(s.across.parts)/8
		}
	}
	if ends {
		s.under.reset()
		s.across.line = now + 1
	}
	if c == '\n' {
		s.across.nextLine()
	}
}

// quotes reports whether all that came of r is a backslash, before the quote at now: that
// begins nothing, whether or not they came in one piece.
func (s *search) quotes(r *reading, now int64) bool {
	return r.place.pos == 1 && r.from == 0 && r.start == now-1 && s.matcher.forms[r.place.form].text[0] == '\\'
}

// partTo returns where a part that ends at now is to be masked up to. What may
// be of the framing stays, so that JSON stays valid: a backslash before a quote, a
// line break.
func (r *reading) partTo(now int64) int64 {
	if at := r.place.at; r.place.framing() || at == backslash || at == lowHalf {
		return r.upto
	}
	return now
}

// framing reports whether p is within a line break, and so at the end of a part
// that was ended already.
func (p place) framing() bool {
	return p.want != own || p.at == softBreak || p.at == afterCR || p.at == afterLF
}

// count counts the secret of r, once.
func (s *search) count(r *reading) {
	if !r.counted {
		r.counted = true
		s.hits++
	}
}

// keep keeps a part, in place of an equal one or of the oldest of its length.
func (a *across) keep(r reading) {
	kept := begun{r, a.lines + partsLines, a.opened}
	if r.place.pos-r.from < shortPart {
		kept.until = a.lines + shortLines
	}
	short, count, oldest := r.place.pos < shortPart, 0, 0
	for i := range a.parts {
		p := &a.parts[i]
		if p.place == r.place {
			kept.counted, kept.until = kept.counted || p.counted, max(kept.until, p.until)
			a.drop(i)
			a.parts = append(a.parts, kept)
			return
		}
		if (p.place.pos < shortPart) == short {
			if count == 0 {
				oldest = i
			}
			count++
		}
	}
	if count == mostParts || short && count == mostShort {
		a.drop(oldest)
	}
	a.parts = append(a.parts, kept)
}

func (a *across) drop(i int) { a.parts = append(a.parts[:i], a.parts[i+1:]...) }

// nextLine gives up what nothing went on with.
func (a *across) nextLine() {
	a.lines++
	a.parts = slices.DeleteFunc(a.parts, func(p begun) bool { return p.until <= a.lines })
}
