package audit

import "time"

// schedule starts a sync if someone waits for one, and sets the timer for
// what is due next.
func (w *writer) schedule() {
	if len(w.unsynced) > 0 {
		w.startSync(time.Now())
	}
	due := w.due()
	if due.IsZero() || !w.armed.IsZero() && !due.Before(w.armed) {
		return
	}
	w.armed = due
	w.timer.Reset(time.Until(due))
}

// due returns when tick next has something to do, or zero.
func (w *writer) due() time.Time {
	var due time.Time
	sooner := func(t time.Time) {
		if due.IsZero() || t.Before(due) {
			due = t
		}
	}
	if w.failed() {
		sooner(w.retryAt) // with what was noted
	} else {
		if w.at.unsigned > 0 {
			sooner(w.signBy)
		}
		if len(w.noted) > 0 {
			sooner(w.noteBy)
		}
	}
	if w.dirty() && !w.inflight {
		sooner(w.syncedAt.Add(syncEvery))
	}
	return due
}

func (w *writer) tick(now time.Time) {
	switch {
	case w.failed():
		if !now.Before(w.retryAt) {
			w.commit(w.takeNoted(), false)
		}
	case w.signDue(now):
		w.commit(w.takeNoted(), true)
	case len(w.noted) > 0 && !now.Before(w.noteBy):
		w.commit(w.takeNoted(), false)
	}
	if w.dirty() && !now.Before(w.syncedAt.Add(syncEvery)) {
		w.startSync(now)
	}
}

// dirty reports whether there is something that a sync would make safe.
func (w *writer) dirty() bool  { return w.at.size != w.safe.size && !w.unsure }
func (w *writer) failed() bool { return w.gauges.failure.Load() != nil }

// wake does what the timer was set for.
func (w *writer) wake(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed = time.Time{}
	w.tick(now)
	w.schedule()
}
