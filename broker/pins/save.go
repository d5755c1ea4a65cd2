package pins

import "time"

// batch is what was seen and is not in the file yet. All that comes up while one
// batch is being written goes into the next.
type batch struct {
	seen map[key]sight
	done chan struct{} // closed when it is written, or could not be
	err  error         // of writing it; read after done
}

type key struct{ upstream, tool string }

// sight is what was seen of a tool: the definitions in between make no difference
// to what is remembered.
type sight struct {
	first, last string
	at          time.Time
}

func newBatch() *batch { return &batch{seen: map[key]sight{}, done: make(chan struct{})} }

func (b *batch) add(upstream, tool, digest string, now time.Time) {
	k := key{upstream, tool}
	s, ok := b.seen[k]
	if !ok {
		s = sight{first: digest, at: now}
	}
	s.last = digest
	b.seen[k] = s
}

// after puts what an earlier batch has before what b has.
func (b *batch) after(earlier *batch) {
	for k, s := range earlier.seen {
		if later, ok := b.seen[k]; ok {
			s.last = later.last
		}
		b.seen[k] = s
	}
}

func (b *batch) apply(known pinned) {
	for k, s := range b.seen {
		known.note(k.upstream, k.tool, s.first, s.at)
		known.note(k.upstream, k.tool, s.last, s.at)
	}
}

// save returns when b is written, or could not be: by this caller, or by another
// that has all of it in its own.
func (p *Pins) save(b *batch) error {
	select {
	case <-b.done:
		return b.err
	case p.writing <- struct{}{}:
	}
	defer func() { <-p.writing }()
	select {
	case <-b.done:
		return b.err
	default:
		return p.commit(func(pinned) {})
	}
}

// change changes the file, and what is known when that succeeds.
func (p *Pins) change(f func(known pinned)) error {
	p.writing <- struct{}{}
	defer func() { <-p.writing }()
	return p.commit(f)
}

// Flush writes what could not be written when it was seen, and returns when nobody
// writes any more.
func (p *Pins) Flush() error {
	p.writing <- struct{}{}
	defer func() { <-p.writing }()
	p.mu.RLock()
	none := len(p.unsaved.seen) == 0
	p.mu.RUnlock()
	if none {
		return nil
	}
	return p.commit(func(pinned) {})
}

// commit makes the file say what is not in it yet, and then what change makes of
// it, from what the file says now. Only the one in p.writing may call it.
func (p *Pins) commit(change func(known pinned)) error {
	unlock, err := p.file.hold()
	if err != nil {
		return p.fail(p.cut(), err)
	}
	defer unlock()
	known, s, err := p.file.read()
	if err != nil {
		return p.fail(p.cut(), err)
	}
	said, next := known.clone(), known.clone() // begin adds to known
	b := p.begin(known, s)
	b.apply(next)
	change(next)
	if next.equal(said) { // a file that says it already is not written again
		p.succeed(b, next, s)
		return nil
	}
	if s, err = p.file.write(next); err != nil {
		return p.fail(b, err)
	}
	p.succeed(b, next, s)
	return nil
}

// cut begins another batch and returns the one before.
func (p *Pins) cut() *batch {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.unsaved
	p.unsaved = newBatch()
	return b
}

// begin takes over what the file says, and is cut besides.
func (p *Pins) begin(known pinned, s stamp) *batch {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.absorb(known, s)
	p.saving = true
	b := p.unsaved
	p.unsaved = newBatch()
	return b
}

func (p *Pins) succeed(b *batch, next pinned, s stamp) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unsaved.apply(next)
	p.known, p.stamp, p.retry = next, s, time.Time{}
	p.end(b, nil)
}

// fail keeps what could not be written for the next time, and returns err.
func (p *Pins) fail(b *batch, err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unsaved.after(b)
	if len(p.unsaved.seen) > 0 {
		p.retry = p.clock().Add(everyTool)
	}
	p.end(b, err)
	return err
}

func (p *Pins) end(b *batch, err error) {
	p.saving = false
	p.version++
	b.err = err
	close(b.done)
}

// overdue reports whether what could not be written is to be tried again.
func (p *Pins) overdue(now time.Time) bool { return !p.retry.IsZero() && !now.Before(p.retry) }

// refresh takes over what the file says, where another process wrote it since. It
// does not wait for one that writes: that one takes over all that was in the file
// before it began. It reports whether another was faster.
func (p *Pins) refresh() (overtaken bool) {
	p.mu.RLock()
	read, version, saving := p.stamp, p.version, p.saving
	p.mu.RUnlock()
	if saving || !p.file.changed(read) {
		return false
	}
	known, s, err := p.file.read()
	p.noteUnread(err)
	if err != nil {
		return false // what is known stands
	}
	return p.adopt(known, s, version)
}

// adopt takes over what was read at a version, unless that is over.
func (p *Pins) adopt(known pinned, s stamp, version uint64) (overtaken bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.saving || p.version != version {
		return true
	}
	p.version++
	p.absorb(known, s)
	return false
}

// absorb takes over what the file says, with what it does not say yet, and notes
// what others put in force there.
func (p *Pins) absorb(known pinned, s stamp) {
	for upstream, tools := range p.known {
		for tool, pin := range tools {
			if now, ok := known[upstream][tool]; ok && now.Digest != pin.Digest {
				p.news = append(p.news, Approval{upstream, tool, now.Digest})
			}
		}
	}
	p.unsaved.apply(known)
	p.known, p.stamp = known, s
}
