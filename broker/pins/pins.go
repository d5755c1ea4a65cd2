// Package pins remembers what the tools of upstreams said of themselves when
// they were first seen, so that a server which changes a tool under its name is
// noticed. What is remembered is a file that an operator's command changes too.
package pins

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"
)

// Most is how many tools of one upstream are remembered. A server that lists
// more is not trusted with more memory: the rest count as changed.
const Most = 4096

// Pin is what is remembered of one tool.
type Pin struct {
	Digest  string    `json:"digest"`            // hex SHA-256 of the definition in force
	Since   time.Time `json:"since"`             // when it was first seen, or approved
	Changed string    `json:"changed,omitempty"` // the digest of another definition that was seen since
}

// Verdict is what Observe found.
type Verdict uint8

// The verdicts. The zero Verdict is Unpinned: nothing vouches for the tool.
const (
	Unpinned Verdict = iota // there are too many tools
	Same                    // the definition is the one in force
	First                   // seen for the first time, and now in force
	Changed                 // another than the one in force, for the first time
	Still                   // another than the one in force, as before
	Restored                // the one in force again, after another
	Skipped                 // another than before, too soon after: counted, and the tool stays pending
)

// isNews reports whether there is something to remember.
func (v Verdict) isNews() bool { return v == First || v == Changed || v == Restored }

// Pins are the tools of all upstreams. They are safe for concurrent use. Nothing
// runs in the background: whoever has news writes it, one at a time, and all that
// came up meanwhile with it.
type Pins struct {
	file  file
	clock func() time.Time

	// writing has room for the one that writes. mu is held over memory alone, never
	// over the file, so that no list and no call waits for a disk or for another
	// process unless it brings news itself.
	writing chan struct{}

	mu       sync.RWMutex
	known    pinned
	stamp    stamp     // of the file when known was taken from it
	version  uint64    // goes up when known is taken from the file, and when a write ends
	saving   bool      // the file is locked and was read: nobody else can change it
	unsaved  *batch    // what known has and the file has not
	retry    time.Time // when to try again after a write failed; zero: none did
	restless map[string]*restless
	news     []Approval
	unread   unread
}

// pinned is what is remembered, by upstream and tool.
type pinned map[string]map[string]Pin

// Open returns the pins kept in a directory, which is made where it does not
// exist.
func Open(dir string, clock func() time.Time) (*Pins, error) {
	f, err := openFile(dir)
	if err != nil {
		return nil, err
	}
	p := &Pins{file: f, clock: clock, writing: make(chan struct{}, 1), unsaved: newBatch(), restless: map[string]*restless{}}
	if p.known, p.stamp, err = f.read(); err != nil {
		return nil, err
	}
	return p, nil
}

// Observe compares definitions, by tool, with the ones in force, and remembers
// what is new. It returns a verdict for each. What is new holds at once, and
// Observe returns when it is in the file: else a crash after an agent was shown a
// tool would have the next definition trusted as the first. An error is a file
// that can't be written; the verdicts stand all the same, and it is tried again.
func (p *Pins) Observe(upstream string, digests map[string]string) (map[string]Verdict, error) {
	verdicts, settled := p.compare(upstream, digests)
	if settled {
		return verdicts, nil
	}
	p.refresh() // what is pending here may be approved there
	verdicts, news := p.take(upstream, digests)
	if news == nil {
		return verdicts, nil
	}
	return verdicts, p.save(news)
}

// compare returns the verdicts as far as they change nothing, and whether all do.
func (p *Pins) compare(upstream string, digests map[string]string) (verdicts map[string]Verdict, settled bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	settled = !p.overdue(p.clock())
	verdicts = make(map[string]Verdict, len(digests))
	for tool, digest := range digests {
		v := verdict(p.known[upstream], tool, digest)
		verdicts[tool] = v
		settled = settled && !v.isNews() && p.restless[upstream].seen(tool) == ""
	}
	return verdicts, settled
}

// take remembers what is new. It returns the batch that is to be written, or nil.
func (p *Pins) take(upstream string, digests map[string]string) (verdicts map[string]Verdict, news *batch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock()
	if p.overdue(now) {
		news = p.unsaved
	}
	verdicts = make(map[string]Verdict, len(digests))
	for _, tool := range slices.Sorted(maps.Keys(digests)) {
		verdicts[tool] = p.see(upstream, tool, digests[tool], now)
		if verdicts[tool].isNews() {
			news = p.unsaved
		}
	}
	return verdicts, news
}

// see is take for one tool. The first change of a tool is always kept. What comes
// after it, be it another definition or the one in force again, has to wait its
// turn, and until then the tool stays pending.
func (p *Pins) see(upstream, tool, digest string, now time.Time) Verdict {
	v := verdict(p.known[upstream], tool, digest)
	pending := p.known[upstream][tool].Changed != ""
	if v.isNews() && pending && !p.restless[upstream].admits(tool, now) {
		p.restless[upstream].skip(tool, digest)
		return Skipped
	}
	p.restless[upstream].forget(tool)
	if !v.isNews() {
		return v
	}
	p.known.note(upstream, tool, digest, now)
	p.unsaved.add(upstream, tool, digest, now)
	if v != First {
		p.restlessOf(upstream).kept(tool, now)
	}
	return v
}

// Register puts digests, by upstream and tool, in force, whatever was seen. On error
// none is.
func (p *Pins) Register(registered map[string]map[string]string) error {
	return p.change(func(known pinned) {
		for upstream, digests := range registered {
			for tool, digest := range digests {
				known.register(upstream, tool, digest, p.clock())
			}
		}
	})
}

// register puts a digest in force. What was seen last is a change of it.
func (known pinned) register(upstream, tool, digest string, now time.Time) {
	seen, ok := known[upstream][tool]
	if seen.Digest == digest {
		return
	}
	delete(known[upstream], tool)
	known.note(upstream, tool, digest, now)
	if last := cmp.Or(seen.Changed, seen.Digest); ok && last != digest {
		known.note(upstream, tool, last, now)
	}
}

// verdict compares, and changes nothing.
func verdict(known map[string]Pin, tool, digest string) Verdict {
	pin, ok := known[tool]
	switch {
	case !ok && len(known) >= Most:
		return Unpinned
	case !ok:
		return First
	case pin.Digest == digest && pin.Changed == "":
		return Same
	case pin.Digest == digest:
		return Restored
	case pin.Changed == digest:
		return Still
	}
	return Changed
}

func (known pinned) note(upstream, tool, digest string, now time.Time) {
	if known[upstream] == nil {
		known[upstream] = map[string]Pin{}
	}
	pin, ok := known[upstream][tool]
	if !ok {
		pin = Pin{Digest: digest, Since: now.UTC()}
	}
	pin.Changed = digest
	if pin.Digest == digest {
		pin.Changed = ""
	}
	known[upstream][tool] = pin
}

func (known pinned) clone() pinned {
	c := make(pinned, len(known))
	for upstream, tools := range known {
		c[upstream] = maps.Clone(tools)
	}
	return c
}

func (known pinned) equal(other pinned) bool {
	return maps.EqualFunc(known, other, func(a, b map[string]Pin) bool { return maps.Equal(a, b) })
}

// Pending reports whether a tool has changed and nobody has approved it, or whether
// that can't be told because there are more tools than are remembered. digest is
// the definition that is about to be shown, if one is: it is pending when it is not
// in force itself, whatever another list made of the tool in between. Pending looks
// at the file again when it was written since.
func (p *Pins) Pending(upstream, tool, digest string) bool {
	// A second look, for whoever overtook the first may have read the file before
	// it began; one that overtakes the second has not.
	for range 2 {
		if !p.pending(upstream, tool, digest) {
			return false
		}
		if !p.refresh() {
			break
		}
	}
	return p.pending(upstream, tool, digest)
}

func (p *Pins) pending(upstream, tool, digest string) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	pin, ok := p.known[upstream][tool]
	if !ok {
		return len(p.known[upstream]) >= Most
	}
	seen := p.restless[upstream].seen(tool)
	return pin.Changed != "" || seen != "" && seen != pin.Digest || digest != "" && digest != pin.Digest
}

// Tool returns what is remembered of one tool; nothing is the zero Pin.
func (p *Pins) Tool(upstream, tool string) Pin {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.known[upstream][tool]
}

// Tools returns what is remembered of an upstream's tools.
func (p *Pins) Tools(upstream string) map[string]Pin {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return maps.Clone(p.known[upstream])
}
