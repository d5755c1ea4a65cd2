package injector

// edge is one way on: a byte, in either case where that is open, and the place
// it leads to.
type edge struct {
	b    byte
	fold bool
	to   place
}

// edges collects the ways on from a place: all, or those that take one byte.
type edges struct {
	list []edge
	only int16 // the byte, or all
	seen int   // how many were looked at
}

// all asks for the edges of every byte.
const all = -1

func (e *edges) add(b byte, to place) {
	e.seen++
	if e.only == all || e.only == int16(b) {
		e.list = append(e.list, edge{b: b, to: to})
	}
}

// fold adds a byte that is the same in either case.
func (e *edges) fold(b byte, to place) {
	e.seen++
	b = lower(b)
	if e.only == all || lower(byte(e.only&0xff)) == b {
		e.list = append(e.list, edge{b: b, fold: true, to: to})
	}
}

func lower(b byte) byte {
	if 'A' <= b && b <= 'Z' {
		return b | 0x20
	}
	return b
}
