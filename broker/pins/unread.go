package pins

// unread is a file that another process wrote and that can't be read: what is known
// stands, and what was approved there is not in force.
type unread struct {
	why  error
	told bool
}

// Unread returns why the file could not be read when it was looked at last, once for
// each reason; else nil.
func (p *Pins) Unread() error {
	p.mu.RLock()
	none := p.unread.why == nil || p.unread.told
	p.mu.RUnlock()
	if none {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unread.told = true
	return p.unread.why
}

// noteUnread notes how a look at the file ended.
func (p *Pins) noteUnread(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		p.unread = unread{}
		return
	}
	p.unread.told = p.unread.told && p.unread.why.Error() == err.Error()
	p.unread.why = err
}
