package broker

import "sync"

// trusted is how much memory an announced length gets at once; more grows as
// it arrives. A file of 64 KiB and what is said around it are read in one piece.
const trusted = 96 << 10

// smallBody is the longest body whose memory is not worth keeping.
const smallBody = 8 << 10

// lender has the memory that bodies of requests are read into, for one after another.
// What an agent said is wiped before another's is read there; collecting garbage ends
// what is not used.
type lender struct{ pool sync.Pool } // of *[trusted]byte

// lend returns memory for a body, and what is to be given back with takeBack; nil for a
// body that is alone in its memory.
func (l *lender) lend(length int64) (body []byte, lent *[trusted]byte) {
	if length <= smallBody || length > trusted {
		return make([]byte, min(length, trusted)), nil
	}
	lent, ok := l.pool.Get().(*[trusted]byte)
	if !ok {
		lent = new([trusted]byte)
	}
	return lent[:length:length], lent
}

// takeBack takes the memory of c's body, which nobody reads any more. That is known of
// a message that went to its upstream and came to its answer, all of it, over a
// connection whose writing ends with the answer. Of every other call, and of one
// whose upstream is net/http's to write to, the body stays where it is until nothing
// refers to it.
func (l *lender) takeBack(c *call) {
	if c.lent == nil || !c.relayed || !c.upstream.send.EndsWithAnswer() {
		return
	}
	clear(c.body)
	l.pool.Put(c.lent)
	c.lent = nil
}
