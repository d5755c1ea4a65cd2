package injector

import (
	"crypto/sha256"
	"sync/atomic"
)

// clean remembers short texts that hold none of a matcher's secrets, though they hold
// what could be the beginning of one: a server says the same headers in each answer. It
// keeps no text, which may have what is somebody's secret in it, as a Location has. Nor
// does it know one by a digest of which an upstream could make two texts: the other one
// would not be searched.
type clean [8]atomic.Pointer[cleanText]

type cleanText struct {
	length int
	digest [sha256.Size]byte
}

const cleanLongest = 128 // bytes of a text that is remembered

func (c *clean) has(text string) bool {
	known := c.at(text).Load()
	return known != nil && known.length == len(text) && known.digest == digestOf(text)
}

// add remembers text in the place of another.
func (c *clean) add(text string) {
	if len(text) <= cleanLongest {
		c.at(text).Store(&cleanText{len(text), digestOf(text)})
	}
}

func (c *clean) at(text string) *atomic.Pointer[cleanText] { return &c[len(text)%len(c)] }

// digestOf returns the digest of a text of at most cleanLongest bytes. It allocates nothing.
func digestOf(text string) [sha256.Size]byte {
	var b [cleanLongest]byte
	return sha256.Sum256(b[:copy(b[:], text)])
}
