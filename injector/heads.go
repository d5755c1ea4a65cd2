package injector

import "math/bits"

// headSize is how many bytes tell whether a needle may begin.
const headSize = 8

// heads tells from eight bytes whether a needle may begin with them. It is a Bloom
// filter of two bits in one word: it says yes by chance of about one text in fifty,
// and never no of what was put.
type heads struct {
	fold  [256]byte
	words []uint64
	shift uint8
	count int // of those that were put, about
	gone  int // needles that were removed since it was built
}

// What a filter begins with, and how many bits it has for each head.
const (
	fewHeads    = 64
	bitsPerHead = 24
)

// letters sets what stands for one another: base64 has a URL's alphabet, hex and
// percent-encoding are written in either case. So every text is compared; what differs
// from a secret in its case alone is masked as well.
func (h *heads) letters() {
	for i := range h.fold {
		c := byte(i)
		switch {
		case 'A' <= c && c <= 'Z':
			c |= 0x20
		case c == '-':
			c = '+'
		case c == '_':
			c = '/'
		}
		h.fold[i] = c
	}
}

// room makes an empty filter for so many heads.
func (h *heads) room(count int) {
	n := bits.Len(uint(max(count, fewHeads)*bitsPerHead/64 - 1))
	h.words, h.shift = make([]uint64, 1<<n), uint8(64-n)
	h.count, h.gone = 0, 0
}

// put notes how text begins.
func (h *heads) put(text string) {
	if h.words == nil {
		h.room(0)
	}
	var key uint64
	for i := range headSize {
		key = key<<8 | uint64(h.fold[text[i]])
	}
	k := key * mixing
	word, set := &h.words[k>>h.shift], uint64(1)<<(k>>38&63)|uint64(1)<<(k>>32&63)
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
	n := h.each(root, func(string) {})
	h.room(n)
	h.each(root, h.put)
}

// each calls put with a needle for every head, and returns how many there are.
func (h *heads) each(b *branch, put func(string)) (n int) {
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
	if i+headSize > len(b) || h.words == nil {
		return i
	}
	var key uint64
	for _, c := range b[i : i+headSize] {
		key = key<<8 | uint64(h.fold[c])
	}
	words, shift := h.words, h.shift&63
	for _, c := range b[i+headSize:] {
		k := key * mixing
		if w := words[k>>shift]; w>>(k>>38&63)&(w>>(k>>32&63))&1 != 0 {
			return i
		}
		key = key<<8 | uint64(h.fold[c])
		i++
	}
	k := key * mixing
	if w := words[k>>shift]; w>>(k>>38&63)&(w>>(k>>32&63))&1 != 0 {
		return i
	}
	return i + 1
}
