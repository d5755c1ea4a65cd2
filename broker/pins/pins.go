// Package pins remembers what the tools of upstreams said of themselves when
// they were first seen, so that a server which changes a tool under its name is
// noticed. What is remembered is a file that an operator's command changes too.
package pins

import (
	"cmp"
	"fmt"
	"maps"
	"sync"
	"time"
)

// Most is how many tools of one upstream are remembered. A server that lists
// more is not trusted with more memory: the rest stay unpinned.
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
)

// isNews reports whether there is something to remember.
func (v Verdict) isNews() bool { return v == First || v == Changed || v == Restored }

// Pins are the tools of all upstreams. They are safe for concurrent use.
type Pins struct {
	file  file
	clock func() time.Time

	mu    sync.RWMutex
	known map[string]map[string]Pin // upstream, tool
	stamp stamp                     // of the file when known was read
	news  []Approval
}

// Approval is a changed definition that an operator put in force.
type Approval struct{ Upstream, Tool, Digest string }

// Open returns the pins kept in a directory, which is made where it does not
// exist.
func Open(dir string, clock func() time.Time) (*Pins, error) {
	f, err := openFile(dir)
	if err != nil {
		return nil, err
	}
	p := &Pins{file: f, clock: clock}
	if p.known, p.stamp, err = f.read(); err != nil {
		return nil, err
	}
	return p, nil
}

// Observe compares definitions, by tool, with the ones in force, and remembers
// what is new. It returns a verdict for each. An error is a file that can't be
// written; the verdicts stand all the same.
func (p *Pins) Observe(upstream string, digests map[string]string) (map[string]Verdict, error) {
	p.mu.RLock()
	verdicts, news := compare(p.known[upstream], digests)
	p.mu.RUnlock()
	if !news {
		return verdicts, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.update(func(known map[string]map[string]Pin) {
		verdicts = make(map[string]Verdict, len(digests))
		for tool, digest := range digests {
			v := verdict(known[upstream], tool, digest)
			verdicts[tool] = v
			if v.isNews() {
				note(known, upstream, tool, digest, p.clock())
			}
		}
	})
	return verdicts, err
}

func compare(known map[string]Pin, digests map[string]string) (verdicts map[string]Verdict, news bool) {
	verdicts = make(map[string]Verdict, len(digests))
	for tool, digest := range digests {
		verdicts[tool] = verdict(known, tool, digest)
		news = news || verdicts[tool].isNews()
	}
	return verdicts, news
}

// Register puts digests, by tool, in force for an upstream, whatever was seen.
func (p *Pins) Register(upstream string, digests map[string]string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.update(func(known map[string]map[string]Pin) {
		for tool, digest := range digests {
			seen, ok := known[upstream][tool]
			if seen.Digest == digest {
				continue
			}
			delete(known[upstream], tool)
			note(known, upstream, tool, digest, p.clock())
			if last := cmp.Or(seen.Changed, seen.Digest); ok && last != digest {
				note(known, upstream, tool, last, p.clock())
			}
		}
	})
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

func note(known map[string]map[string]Pin, upstream, tool, digest string, now time.Time) {
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

// Pending reports whether a tool has changed and nobody has approved it. It looks
// at the file again when it was written since.
func (p *Pins) Pending(upstream, tool string) bool {
	p.mu.RLock()
	pending, read := p.known[upstream][tool].Changed != "", p.stamp
	p.mu.RUnlock()
	if !pending || !p.file.changed(read) {
		return pending
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if known, s, err := p.file.read(); err == nil {
		p.absorb(known)
		p.stamp = s
	}
	return p.known[upstream][tool].Changed != ""
}

// Approve puts the changed definitions of tools in force, or of all that have
// changed when none is named, and returns their names.
func (p *Pins) Approve(upstream string, tools ...string) (approved []string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	missing := ""
	err = p.update(func(known map[string]map[string]Pin) {
		if len(tools) == 0 {
			tools = pending(known[upstream])
		}
		for _, tool := range tools {
			pin, ok := known[upstream][tool]
			if !ok {
				missing = tool
				return
			}
			if pin.Changed != "" {
				known[upstream][tool] = Pin{Digest: pin.Changed, Since: p.clock().UTC()}
				approved = append(approved, tool)
			}
		}
	})
	if missing != "" {
		return nil, fmt.Errorf("approve %s: expected a tool of upstream %s that was seen, got one that was not", missing, upstream)
	}
	return approved, err
}

// absorb takes over what the file says, and notes what was approved there.
func (p *Pins) absorb(known map[string]map[string]Pin) {
	for upstream, tools := range p.known {
		for tool, pin := range tools {
			if now := known[upstream][tool]; pin.Changed != "" && now.Digest == pin.Changed && now.Changed == "" {
				p.news = append(p.news, Approval{upstream, tool, now.Digest})
			}
		}
	}
	p.known = known
}

// Approvals returns the approvals by others that were noticed since it was asked
// last.
func (p *Pins) Approvals() (news []Approval) {
	p.mu.RLock()
	none := len(p.news) == 0
	p.mu.RUnlock()
	if none {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	news, p.news = p.news, nil
	return news
}

// Tools returns what is remembered of an upstream's tools.
func (p *Pins) Tools(upstream string) map[string]Pin {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return maps.Clone(p.known[upstream])
}
