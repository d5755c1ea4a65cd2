package injector

import "time"

// The search takes longer where a text goes on as a secret does. An agent whose upstream
// repeats what it sends could have a guess repeated ten thousand times in one answer, and
// see by the clock whether the next character is right. So an answer in which the search
// looked closely so often is given out at a pace that does not depend on what was found.
const (
	// closeAt is how many characters of a secret make a close look, of one in hex a few more,
	// or two after what tells its kind, and of a JWT after its claims (see bounds): other
	// tokens of the same kind, as in a log, make none.
	closeAt    = 4
	closeAtHex = 6
	beforeCuts = secretPart - 2
	// freeLooks, and one more for so many bytes, have no pace, for text has as many by
	// chance: the next character of a guess takes a tenth of a microsecond, and up to thirty
	// where the text that follows is made to be slow (mostIdle).
	freeLooks = 4
	freeBytes = 16 << 10
	// pacePerByte is more than one of the searches takes for a byte of whatever text: one
	// microsecond at most, of texts that were made to be slow. Each has as much.
	pacePerByte = 2 * time.Microsecond
	// leastPace is that of a piece with a close look in it, and of those after it in which what
	// was looked at may go on: more than all free looks take.
	leastPace = 250 * time.Microsecond
)

// looks counts close looks.
type looks struct {
	count int
	first time.Time // when the first one was
}

func (l *looks) add(n int) {
	if l.count == 0 {
		l.first = time.Now()
	}
	l.count += n
}

// join adds those of other, of a part of the same answer.
func (l *looks) join(other looks) {
	if l.count == 0 {
		l.first = other.first
	}
	l.count += other.count
}

// looked returns all close looks in the answer so far.
func (s *Scrubber) looked() looks {
	all := s.late.looks
	for m := range s.searches() {
		if l := m.looks; l.count > 0 {
			all.join(l)
		}
	}
	if f := s.beside.found; f != nil && f.looks.count > 0 {
		all.join(f.looks)
	}
	return all
}

// pace is what is known of an answer with close looks in it.
type pace struct {
	until time.Time // see NotBefore
	near  int64     // up to where what was looked at may go on, of all bytes that were read
}

// searching is what keepPace is to know of the time before a search.
type searching struct {
	began time.Time // zero where there was no close look yet: the first one's time stands for it then
	count int       // of close looks
}

// began is called before the search of a piece, for keepPace.
func (s *Scrubber) began() searching {
	count := s.looked().count
	if count == 0 {
		return searching{}
	}
	return searching{time.Now(), count}
}

// keepPace notes when a piece of so many bytes may be given out.
func (s *Scrubber) keepPace(was searching, bytes int) {
	all := s.looked()
	if all.count == 0 {
		return
	}
	if s.pace == nil {
		s.pace = &pace{}
	}
	total := s.join.total + s.own.aside
	if all.count > was.count {
		s.pace.near = total + s.goesOn()
	}
	least := time.Duration(bytes) * pacePerByte * time.Duration(1+len(s.others))
	if int64(all.count) <= freeLooks+total/freeBytes {
		if least = leastPace; total-int64(bytes) > s.pace.near {
			return
		}
	}
	began := was.began
	if began.IsZero() {
		began = all.first
	}
	if due := began.Add(max(least, leastPace)); due.After(s.pace.until) {
		s.pace.until = due
	}
}

// goesOn returns for how many bytes what was looked at may go on, at most.
func (s *Scrubber) goesOn() int64 {
	return s.longest() * mostIdle / 8 // two characters of hex for each of a secret
}

// NotBefore returns when what was read last may be given out. Before, the time of an answer
// would tell an agent how much of a guess is right. It is the zero time where
// nothing is to be waited for, as in an answer that has nothing in it of how a secret
// begins; where that is little, it is leastPace after the search began.
func (s *Scrubber) NotBefore() time.Time {
	if s.pace == nil {
		return time.Time{}
	}
	return s.pace.until
}
