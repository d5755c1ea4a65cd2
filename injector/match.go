package injector

import "slices"

// matcher is what is compiled once for each lease: the forms, and a filter that
// tells from the next four bytes where one of them can begin.
type matcher struct {
	forms []form
	// limit is the longest that the beginning of a secret is held back. It allows
	// each byte of the secret to be written in sixteen.
	limit int64
	// tail is how much of that is held back whatever it is: what a secret is not known
	// by, written so.
	tail   int64
	filter [4][256]uint16 // which buckets may have a byte as the first, second, ...
	bucket [buckets][]uint8
	clean  clean
}

// buckets keeps apart what begins differently: a set for each byte that
// introduces an escape as the first byte, one as the second, one for a line
// break there, and the others for forms that begin as they are.
const (
	buckets       = 16
	introductions = `\%=&`
	literal       = 2*len(introductions) + 1
)

func newMatcher(forms []form, longest int) *matcher {
	m := &matcher{forms: forms, limit: longestOf(longest)}
	var b beginnings
	known := 0
	for i := range forms {
		m.admit(uint8(i), &b)
		known = max(known, forms[i].part)
	}
	m.tail = min(m.limit, longestOf(known))
	return m
}

// longestOf returns how long so many bytes of a secret are written, at most.
func longestOf(count int) int64 { return 16*int64(count) + 64 }

// bucketOf returns the bucket of what begins with two bytes.
func bucketOf(form uint8, first, second byte) int {
	for n := range len(introductions) {
		switch introductions[n] {
		case first:
			return n
		case second:
			return len(introductions) + n
		}
	}
	if second == '\r' || second == '\n' {
		return 2 * len(introductions)
	}
	return literal + int(form)%(buckets-literal)
}

// beginnings is what admit works with, of one form after another.
type beginnings struct {
	first, second edges
	places        [buckets][]place // after two bytes
	onward        []place          // after three, of one bucket
}

// admit lets the filter pass every beginning of a form.
func (m *matcher) admit(form uint8, b *beginnings) {
	for n := range b.places {
		b.places[n] = b.places[n][:0]
	}
	m.ways(place{form: form}, &b.first)
	for _, one := range b.first.list {
		m.ways(one.to, &b.second)
		for _, two := range b.second.list {
			n := bucketOf(form, one.b, two.b)
			m.pass(0, n, one)
			m.pass(1, n, two)
			b.places[n] = appendNew(b.places[n], two.to)
		}
	}
	for n, at := range b.places {
		if len(at) > 0 {
			m.bucket[n] = append(m.bucket[n], form)
			m.passOn(n, at, b)
		}
	}
}

// passOn lets the filter pass the third and the fourth byte.
func (m *matcher) passOn(bucket int, at []place, b *beginnings) {
	b.onward = b.onward[:0]
	for _, p := range at {
		m.ways(p, &b.first)
		for _, way := range b.first.list {
			m.pass(2, bucket, way)
			b.onward = appendNew(b.onward, way.to)
		}
	}
	for _, p := range b.onward {
		m.ways(p, &b.first)
		for _, way := range b.first.list { // where they lead to matters no more
			m.pass(3, bucket, way)
		}
	}
}

func appendNew(list []place, p place) []place {
	if slices.Contains(list, p) {
		return list
	}
	return append(list, p)
}

// ways collects all edges of p.
func (m *matcher) ways(p place, e *edges) {
	e.list, e.only = e.list[:0], all
	m.forms[p.form].from(p, e)
}

func (m *matcher) pass(n, bucket int, e edge) {
	m.filter[n][e.b] |= 1 << bucket
	if e.fold && 'a' <= e.b && e.b <= 'z' {
		m.filter[n][e.b&^0x20] |= 1 << bucket
	}
}

// skip returns the first place from i on where a secret can begin.
func (m *matcher) skip(b []byte, i int) int {
	first, second, third := &m.filter[0], &m.filter[1], &m.filter[2]
	for ; i+2 < len(b); i++ {
		w := b[i : i+3 : i+3]
		if first[w[0]]&second[w[1]]&third[w[2]] != 0 && m.begins(b, i) != 0 {
			return i
		}
	}
	for ; i < len(b); i++ {
		if m.begins(b, i) != 0 {
			return i
		}
	}
	return i
}

// begins returns the buckets of what can begin at i, as far as b goes.
func (m *matcher) begins(b []byte, i int) uint16 {
	set := m.filter[0][b[i]]
	for n := 1; n < len(m.filter) && i+n < len(b); n++ {
		set &= m.filter[n][b[i+n]]
	}
	return set
}

// reading is one secret that may be under way.
type reading struct {
	place   place
	start   int64  // where in the stream it began
	last    int64  // the latest place where it may have begun: what comes before may be how its first character is escaped
	from    uint32 // where in its form the part begins that it is in
	upto    int64  // where its last whole character ended
	counted bool   // as a hit, for an earlier part of it
	lost    bool   // see cuts.lost
	worn    bool   // it took longer than any secret does: it is held no further back than the tail
	idle    uint8  // for so many bytes it came to no next character, see mostIdle
}

// readings are all that may be under way, each place once. Two that have come
// to the same place go on as one, from the earlier start: that bounds the work
// for each byte by the size of the forms, whatever an upstream sends.
type readings struct {
	list  []reading
	index map[place]int // of list, when that is long
}

// few is how many readings are searched one by one.
const few = 16

func (r *readings) reset() {
	r.list = r.list[:0]
	clear(r.index)
}

func (r *readings) add(one reading) {
	if i := r.find(one.place); i >= 0 {
		r.list[i].begin(one)
		r.list[i].last = max(r.list[i].last, one.last)
		r.list[i].upto = max(r.list[i].upto, one.upto)
		r.list[i].counted = r.list[i].counted || one.counted
		r.list[i].lost = r.list[i].lost && one.lost
		r.list[i].from = min(r.list[i].from, one.from)
		r.list[i].idle = min(r.list[i].idle, one.idle)
		return
	}
	r.list = append(r.list, one)
	switch n := len(r.list); {
	case n < few:
	case n == few:
		if r.index == nil {
			r.index = make(map[place]int)
		}
		for i := range r.list {
			r.index[r.list[i].place] = i
		}
	default:
		r.index[one.place] = n - 1
	}
}

// begin has r begin where the earlier of both does. What is worn is not held back
// that far.
func (r *reading) begin(other reading) {
	switch {
	case r.worn == other.worn:
		r.start = min(r.start, other.start)
	case r.worn:
		r.start, r.worn = other.start, false
	}
}

func (r *readings) find(p place) int {
	if len(r.list) >= few {
		if i, ok := r.index[p]; ok {
			return i
		}
		return -1
	}
	for i := range r.list {
		if r.list[i].place == p {
			return i
		}
	}
	return -1
}
