package audit

import "time"

// append has the caller write its own record where nobody else writes, which spares
// it the way to the writer's goroutine and back; for the disk it waits as others do.
// Whatever is out of the ordinary is left to that goroutine: it returns false, and e
// is to be sent.
func (l *Log) append(e *entry) bool {
	w := l.writer
	if !w.mu.TryLock() {
		return false
	}
	defer w.mu.Unlock()
	if !w.sound() {
		return false
	}
	w.commit(w.gather(e), false)
	w.schedule()
	return true
}

// note keeps a record that nobody waits for, until the next one is written or
// noteEvery has passed. It returns false where e is to be sent.
func (l *Log) note(e *entry) bool {
	w := l.writer
	if !w.mu.TryLock() {
		return false
	}
	defer w.mu.Unlock()
	if !w.sound() {
		return false
	}
	if len(w.noted) == 0 {
		w.noteBy = time.Now().Add(noteEvery)
	}
	w.noted = append(w.noted, e)
	if len(w.noted) >= maxNoted {
		w.commit(w.takeNoted(), false)
	}
	w.schedule()
	return true
}

// sound reports whether a write is an append to the segment and nothing else.
func (w *writer) sound() bool {
	return !w.failed() && !w.ragged && !w.unsure && len(w.owed) == 0 && w.at.size < w.segmentSize
}

// takeNoted returns the batch that begins with what was noted.
func (w *writer) takeNoted() []*entry {
	w.batch = append(w.batch[:0], w.noted...)
	clear(w.noted)
	w.noted = w.noted[:0]
	return w.batch
}
