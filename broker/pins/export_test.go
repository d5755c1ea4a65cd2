package pins

import "time"

// SetPatience bounds how long a writer waits for another process.
func (p *Pins) SetPatience(d time.Duration) { p.file.patience = d }

// OnSync has f called when the directory of the file is to be brought to the disk.
func (p *Pins) OnSync(f func(dir string) error) { p.file.syncDir = f }

// Version goes up by one with each write, and with each look at the file that
// found it changed.
func (p *Pins) Version() uint64 {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.version
}

// Write makes a write, and calls during while the file is locked and was read, and
// after before anybody else can write.
func (p *Pins) Write(during, after func()) error {
	p.writing <- struct{}{}
	defer func() { <-p.writing }()
	err := p.commit(func(pinned) { during() })
	after()
	return err
}

// Look looks at the file, and calls meanwhile before it takes over what it says. It
// reports whether it was overtaken.
func (p *Pins) Look(meanwhile func()) (overtaken bool, err error) {
	version := p.Version()
	known, s, err := p.file.read()
	if err != nil {
		return false, err
	}
	meanwhile()
	return p.adopt(known, s, version), nil
}
