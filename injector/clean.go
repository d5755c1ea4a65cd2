package injector

import (
	"strings"
	"sync/atomic"
)

// clean remembers short texts that hold none of a matcher's secrets, though they hold
// what could be the beginning of one: a server says the same headers in each answer.
type clean [8]atomic.Pointer[string]

const cleanLongest = 128 // bytes of a text that is remembered

func (c *clean) has(text string) bool {
	known := c.at(text).Load()
	return known != nil && *known == text
}

// add remembers text in the place of another.
func (c *clean) add(text string) {
	if len(text) <= cleanLongest {
		own := strings.Clone(text) // not the head that it is a part of
		c.at(text).Store(&own)
	}
}

func (c *clean) at(text string) *atomic.Pointer[string] { return &c[len(text)%len(c)] }
