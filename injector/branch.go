package injector

import (
	"bytes"
	"slices"
)

// needle is one text that is looked for, and whose it is.
type needle struct {
	of   *Secrets
	text []byte
}

// branch is a place in the tree of all needles, which has what is common to several
// once: tokens of one issuer often begin alike for long. Its text is that of one of
// the needles that go through it, so that nothing stays of those that were removed.
type branch struct {
	text     []byte
	from, to int       // the part of text that leads here from the branch before
	least    int       // the length of the shortest that goes through it
	ends     []needle  // that end here
	first    []byte    // how each of next begins, folded
	next     []*branch // none with less than a byte
}

// insert adds a needle.
func (t *needles) insert(one needle) {
	b := &t.root
	for b.to < len(one.text) {
		c := lower(one.text[b.to])
		i := bytes.IndexByte(b.first, c)
		if i < 0 {
			leaf := &branch{text: one.text, from: b.to, to: len(one.text), least: len(one.text), ends: []needle{one}}
			b.first, b.next = append(b.first, c), append(b.next, leaf)
			return
		}
		next := b.next[i]
		n := agree(next, one.text[b.to:])
		if at := next.from + n; at < next.to {
			fork := &branch{text: next.text, from: next.from, to: at, least: next.least, first: []byte{lower(next.text[at])}, next: []*branch{next}}
			next.from = at
			b.next[i] = fork
		}
		b = b.next[i]
		b.least = min(b.least, len(one.text))
	}
	b.ends = append(b.ends, one)
}

// remove takes out a needle that is in the tree, from b on.
func (t *needles) remove(b *branch, at int, one needle) {
	if at == len(one.text) {
		i := slices.IndexFunc(b.ends, func(n needle) bool { return n.of == one.of })
		b.ends = slices.Delete(b.ends, i, i+1)
	} else {
		i := bytes.IndexByte(b.first, lower(one.text[at]))
		next := b.next[i]
		t.remove(next, next.to, one)
		switch {
		case len(next.ends) > 0 || len(next.next) > 1:
		case len(next.next) == 1:
			only := next.next[0]
			only.from = next.from
			b.next[i] = only
		default:
			b.first, b.next = slices.Delete(b.first, i, i+1), slices.Delete(b.next, i, i+1)
		}
	}
	switch {
	case len(b.ends) > 0:
		b.text, b.least = b.ends[0].text, b.to
	case len(b.next) > 0:
		b.text, b.least = b.next[0].text, b.next[0].least
		for _, next := range b.next[1:] {
			b.least = min(b.least, next.least)
		}
	default:
		b.text = nil
	}
}

// agree returns for how many bytes text goes the way to b.
func agree(b *branch, text []byte) int {
	way := b.text[b.from:b.to]
	n := min(len(way), len(text))
	for i := range n {
		if way[i] != text[i] && lower(way[i]) != lower(text[i]) {
			return i
		}
	}
	return n
}
