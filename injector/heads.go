package injector

import (
	"encoding/binary"
	"math/bits"
)

// headSize is how many bytes tell whether a needle may begin.
const headSize = 8

// heads tells from eight bytes whether a needle may begin with them. It is a Bloom
// filter of two bits in one word: it says yes by chance of about one text in fifty,
// and never no of what was put.
type heads struct {
	words []uint64
	shift int
	count int // of those that were put, about
	gone  int // needles that were removed since it was built
}

// What a filter begins with, and how many bits it has for each head.
const (
	fewHeads    = 64
	bitsPerHead = 24
)

// anyCase makes letters those in lower case: hex and percent-encoding are written in
// either. Every text is compared so: what differs from a secret in its case alone is
// masked as well.
const anyCase = 0x2020202020202020

// room makes an empty filter for so many heads.
func (h *heads) room(count int) {
	n := bits.Len(uint(max(count, fewHeads)*bitsPerHead/64 - 1))
	h.words, h.shift = make([]uint64, 1<<n), 64-n
	h.count, h.gone = 0, 0
}

// put notes how text begins.
func (h *heads) put(text []byte) {
	if h.words == nil {
		h.room(0)
	}
	k := (binary.LittleEndian.Uint64(text[:headSize]) | anyCase) * mixing
	word, set := &h.words[k>>(h.shift&63)], uint64(1)<<(k>>32&63)|uint64(1)<<(k>>38&63)
	if *word&set != set {
		*word |= set
		h.count++
	}
}

// full reports whether the filter says yes too often.
func (h *heads) full() bool { return h.count*bitsPerHead > 128*len(h.words) }

// stale reports whether too much of the filter is of what was removed.
func (h *heads) stale() bool { return h.gone > 1024 && h.gone > h.count }

// build makes the filter anew, of all that begins at root.
func (h *heads) build(root *branch) {
	h.room(0)
	n := h.each(root, func([]byte) {})
	h.room(n)
	h.each(root, h.put)
}

// each calls put with a needle for every head, and returns how many there are.
func (h *heads) each(b *branch, put func([]byte)) (n int) {
	if b.to >= headSize {
		put(b.text)
		return 1
	}
	for _, next := range b.next {
		n += h.each(next, put)
	}
	return n
}

const mixing = 0x9e3779b97f4a7c15 // odd, and its bits are even: 2^64 by the golden ratio

// skip returns the first place from i on where a needle may begin. The last few
// bytes of b may all be such.
func (h *heads) skip(b []byte, i int) int {
	words, shift := h.words, h.shift&63
	if words == nil {
		return i
	}
	for ; i+headSize <= len(b); i++ {
		k := (binary.LittleEndian.Uint64(b[i:i+headSize:i+headSize]) | anyCase) * mixing
		if w := words[k>>shift]; w>>(k>>32&63)&1 != 0 && w>>(k>>38&63)&1 != 0 {
			return i
		}
	}
	return i
}
