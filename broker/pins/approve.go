package pins

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
)

// Approval is a changed definition that an operator put in force.
type Approval struct{ Upstream, Tool, Digest string }

// Approve puts the changed definitions of tools in force, or of all that have
// changed when none is named, and returns their names.
func (p *Pins) Approve(upstream string, tools ...string) (approved []string, err error) {
	missing := ""
	err = p.change(func(known pinned) {
		if len(tools) == 0 {
			tools = pending(known[upstream])
		}
		for _, tool := range tools {
			if _, ok := known[upstream][tool]; !ok && missing == "" {
				missing = tool
			}
		}
		if missing != "" {
			return
		}
		for _, tool := range tools {
			if pin := known[upstream][tool]; pin.Changed != "" {
				known[upstream][tool] = Pin{Digest: pin.Changed, Since: p.clock().UTC()}
				approved = append(approved, tool)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	if missing != "" {
		return nil, &NotSeen{upstream, missing}
	}
	return approved, nil
}

// ApproveOnly puts a tool's changed definition in force if it is the one of that
// digest: a server may have changed the tool again since somebody looked. It takes
// the whole digest alone, as a server can soon make two definitions whose digests
// begin alike. It changes nothing on error.
func (p *Pins) ApproveOnly(upstream, tool, digest string) error {
	if len(digest) != 2*sha256.Size {
		return fmt.Errorf("approve %s: expected the definition's whole digest, %d characters, got %q", tool, 2*sha256.Size, digest)
	}
	var refused error
	err := p.change(func(known pinned) {
		pin, ok := known[upstream][tool]
		switch {
		case !ok:
			refused = &NotSeen{upstream, tool}
		case pin.Changed == "":
			refused = fmt.Errorf("approve %s: expected a tool that has changed, got one that has not: there is nothing to approve, %s is in force", tool, pin.Digest)
		case pin.Changed != digest:
			refused = fmt.Errorf("approve %s: expected the definition %s to be what it changed to, got %s; look at it again", tool, digest, pin.Changed)
		default:
			known[upstream][tool] = Pin{Digest: pin.Changed, Since: p.clock().UTC()}
		}
	})
	return cmp.Or(err, refused)
}

// NotSeen is the refusal to approve a tool that no list had.
type NotSeen struct{ Upstream, Tool string }

// Error implements error.
func (e *NotSeen) Error() string {
	return fmt.Sprintf("approve %s: expected a tool of upstream %s that was seen, got one that was not: mintmark upstream tools lists those that were", e.Tool, e.Upstream)
}

// pending returns the names of the tools that have changed, sorted.
func pending(tools map[string]Pin) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(tools)) {
		if tools[name].Changed != "" {
			names = append(names, name)
		}
	}
	return names
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
