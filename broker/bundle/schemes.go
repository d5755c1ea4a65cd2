package bundle

import "slices"

// Challenger is the settings of an attestor whose evidence comes under an HTTP
// authentication scheme, as "Bearer". A caller that shows none is asked for it
// by that name; see RFC 9110, section 11.6.1.
type Challenger interface{ Scheme() string }

// Schemes returns the schemes that the attestors take, in their order, each
// once.
func (c *Config) Schemes() []string {
	var all []string
	for _, a := range c.Attestors {
		if s, ok := a.Settings.(Challenger); ok && !slices.Contains(all, s.Scheme()) {
			all = append(all, s.Scheme())
		}
	}
	return all
}
