package injector

// longest returns the longest that the beginning of a secret is held back.
func (s *Scrubber) longest() (bytes int64) {
	for m := range s.searches() {
		bytes = max(bytes, m.matcher.limit)
	}
	return bytes
}

// tail returns how much is held back whatever it is.
func (s *Scrubber) tail() (bytes int64) {
	for m := range s.searches() {
		bytes = max(bytes, m.matcher.tail)
	}
	return bytes
}

// open returns from where in the stream on what came is held back while more comes. With
// parts that is what came of a line: a finished event does not wait, and nobody reads
// half of one.
func (s *Scrubber) open() int64 {
	var upto int64
	if s.inParts() {
		upto = max(s.join.total-s.longest(), s.own.across.line)
	} else {
		upto = s.join.total - s.tail()
	}
	s.join.keep = s.held(upto)
	return s.join.keep
}

// held returns a place in the stream, or where before that begins what is held back for
// what came of a secret.
func (s *Scrubber) held(upto int64) int64 {
	for m := range s.searches() {
		upto = min(upto, m.hold.begins(m.at-m.matcher.limit))
	}
	upto = min(upto, s.late.hold.begins(s.join.total-s.late.limit))
	return min(upto, s.beside.held(s.join.total))
}

// Came returns how much of the stream came.
func (s *Scrubber) Came() int64 { return s.join.total }

// Due returns what may be given out though nothing more came, as Next does, of what had
// come when Came returned upto. Of a secret that goes on after that, it has fewer
// characters than tell it from another text. With parts it is nothing.
func (s *Scrubber) Due(upto int64) []byte {
	if s.own.matcher == nil || s.inParts() || s.Spent() {
		return nil
	}
	return s.join.give(s.held(upto), &s.beside)
}

// Waits reports whether there is something that Due would give out for all that came.
func (s *Scrubber) Waits() bool {
	j := &s.join
	return s.own.matcher != nil && !s.inParts() && s.held(j.total) > j.from()+int64(j.given)
}

// Room puts what is held back at the beginning of buf, and returns the rest of it: the
// next piece is to be read into that, and is not copied then. buf is s's own until Room
// is called again, with nil at the end.
func (s *Scrubber) Room(buf []byte) []byte {
	if s.own.matcher == nil {
		return buf
	}
	return s.join.room(buf)
}
