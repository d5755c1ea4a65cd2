package injector

import "time"

// The search takes longer where a text goes on as a secret does. An agent whose upstream
// repeats what it sends could have a guess repeated ten thousand times in one answer, and
// see by the clock whether the next character is right. So an answer in which the search
// looked closely so often is given out at a pace that does not depend on what was found.
const (
	// closeAt is how many characters of a form make a close look. Fewer tell the kind
	// of a secret, if anything.
	closeAt = 4
	// freeLooks, and one more for so many bytes, have no pace: the next character of a
	// guess takes a tenth of a microsecond, and a call hundreds. Text has as many by
	// chance.
	freeLooks = 4
	freeBytes = 16 << 10
	// pacePerByte is more than the search takes for a byte of whatever text: one
	// microsecond at most, of texts that were made to be slow.
	pacePerByte = 2 * time.Microsecond
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
	var all looks
	for m := s; m != nil; m = m.then {
		if l := m.looks; l.count > 0 {
			all.join(l)
		}
	}
	if f := s.beside.found; f != nil && f.looks.count > 0 {
		all.join(f.looks)
	}
	return all
}

// began returns when the search of a piece began, for pace; the zero time where there
// was no close look yet: the first one's time stands for it then.
func (s *Scrubber) began() time.Time {
	if s.looked().count == 0 {
		return time.Time{}
	}
	return time.Now()
}

// pace notes when a piece of so many bytes, whose search began then, may be given out.
func (s *Scrubber) pace(began time.Time, bytes int) {
	all := s.looked()
	if int64(all.count) <= freeLooks+(s.join.total+s.aside)/freeBytes {
		return
	}
	if began.IsZero() {
		began = all.first
	}
	if due := began.Add(time.Duration(bytes) * pacePerByte); due.After(s.paced) {
		s.paced = due
	}
}

// NotBefore returns when what was read last may be given out. Before, the time of an answer
// would tell an agent how much of a guess is right. It is the zero time where
// nothing is to be waited for, as in an answer that has little in it of how a secret
// begins.
func (s *Scrubber) NotBefore() time.Time { return s.paced }
