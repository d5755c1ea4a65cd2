package bundle

import "path/filepath"

// Holder is the settings of a provider that keeps a grant in a file. Its server takes each
// token of the grant once, and ends it where one comes twice.
type Holder interface {
	// Holds returns the file, "" where there is none, and what the grant began with.
	Holds() (state Path, began Ref)
}

// grants refuses two of them in one file: each would take the place of the other there, and
// begin again with a token that is spent. Two providers may share one grant.
func (c checker) grants() {
	type first struct {
		name  string
		began Ref
	}
	holders := map[string]first{}
	for _, name := range keys(c.config.Providers) {
		holder, ok := c.config.Providers[name].Settings.(Holder)
		if !ok {
			continue
		}
		state, began := holder.Holds()
		if state == "" {
			continue
		}
		at := filepath.Clean(string(state))
		if other, taken := holders[at]; !taken {
			holders[at] = first{name, began}
		} else if other.began != began {
			c.decoder.fault(c.decoder.join("providers", name), "a state file of its own, as its grant is another one", "that of "+c.quote(other.name))
		}
	}
}
