package injector

// matcher is what is compiled once for each lease: the forms, and a filter that
// tells from three bytes where one of them can begin.
type matcher struct {
	forms []form
	// limit is the longest that the beginning of a secret is held back. It allows
	// each byte of the secret to be written in sixteen.
	limit  int64
	filter [3][256]uint16 // which buckets may have a byte as the first, second and third
	bucket [buckets][]uint8
}

// buckets keeps apart what begins alike: one for each byte that introduces an
// escape, the others for forms that begin as they are.
const (
	buckets       = 16
	introductions = `\%=&`
)

func newMatcher(forms []form, longest int) *matcher {
	m := &matcher{forms: forms, limit: 16*int64(longest) + 64}
	for i := range forms {
		for _, e := range forms[i].edges(nil, place{form: uint8(i)}) { //nolint:gosec // at most five secrets of ten forms
			m.admit(bucketOf(i, e.b), e)
		}
	}
	return m
}

// bucketOf returns the bucket of form i where it begins with b.
func bucketOf(i int, b byte) int {
	for n := range len(introductions) {
		if introductions[n] == b {
			return n
		}
	}
	return len(introductions) + i%(buckets-len(introductions))
}

// admit lets the filter pass what begins with e.
func (m *matcher) admit(bucket int, e edge) {
	f := &m.forms[e.to.form]
	m.bucket[bucket] = append(m.bucket[bucket], e.to.form)
	m.pass(0, bucket, e)
	for _, second := range f.edges(nil, e.to) {
		m.pass(1, bucket, second)
		for _, third := range f.edges(nil, second.to) {
			m.pass(2, bucket, third)
		}
	}
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
		if first[b[i]]&second[b[i+1]]&third[b[i+2]] != 0 {
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
	if i+1 < len(b) {
		set &= m.filter[1][b[i+1]]
	}
	if i+2 < len(b) {
		set &= m.filter[2][b[i+2]]
	}
	return set
}

// reading is one secret that may be under way.
type reading struct {
	place place
	start int64 // where in the stream it began
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

func (r *readings) add(p place, start int64) {
	if i := r.find(p); i >= 0 {
		r.list[i].start = min(r.list[i].start, start)
		return
	}
	r.list = append(r.list, reading{p, start})
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
		r.index[p] = n - 1
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
