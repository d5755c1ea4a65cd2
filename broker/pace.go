package broker

import (
	"io"
	"mime"
	"net/http"
	"sync"
	"time"

	"mintmark/internal/fault"
)

// slowestAnswer is how many bytes of an answer with an end make a second more of
// waiting for it.
const slowestAnswer = 1 << 10

// pace is the body of an answer that is no stream, over whichever version of HTTP it
// comes. It must go on: an upstream that says it byte by byte, or says no more,
// would keep one of limits.concurrent. Only the time that is spent waiting for the
// upstream counts, and none in which the agent takes what came. The supervisor of
// streams looks at it: a timer for each piece would cost every call.
type pace struct {
	io.ReadCloser
	clock func() time.Time
	most  time.Duration // for the next piece

	mu    sync.Mutex
	since time.Time     // the read that waits began; zero: none does
	left  time.Duration // that may still be waited in all
	ends  bool          // left counts
	late  bool
}

// paced holds the answer to c to its pace.
func (b *Broker) paced(c *call, resp *http.Response) {
	most := c.upstream.timeout
	if most <= 0 || inMessages(resp) || c.plain && isWatch(resp) || resp.Body == nil || resp.Body == http.NoBody {
		return
	}
	p := &c.pace
	p.mu.Lock() // a call that is under watch is looked at
	defer p.mu.Unlock()
	p.since, p.late = time.Time{}, false
	p.ReadCloser, p.clock, p.most = resp.Body, b.clock, most
	// An API may watch something in an answer of any type, whose length it then
	// can't say.
	p.ends, p.left = !c.plain || resp.ContentLength >= 0, most
	resp.Body = p
}

// isWatch reports whether an answer is what Kubernetes says of a watch: JSON texts that
// come when they come. An MCP server has none to say.
func isWatch(resp *http.Response) bool {
	kind := resp.Header.Get("Content-Type")
	if kind == "application/json" { // as most are
		return false
	}
	_, params, err := mime.ParseMediaType(kind)
	return err == nil && params["stream"] == "watch"
}

// Read implements io.Reader. Of an answer that is too slow it returns a
// *fault.Error.
func (p *pace) Read(into []byte) (int, error) {
	p.mu.Lock()
	p.since = p.clock()
	p.mu.Unlock()
	n, err := p.ReadCloser.Read(into)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left += time.Duration(n)*time.Second/slowestAnswer - p.clock().Sub(p.since)
	p.since = time.Time{}
	if err != nil && p.late {
		err = tooSlow()
	}
	return n, err
}

// behind returns an error when the upstream has been waited for for too long.
func (p *pace) behind(now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.since.IsZero() {
		return nil
	}
	if waited := now.Sub(p.since); waited > p.most || p.ends && waited > p.left {
		p.late = true
		return tooSlow()
	}
	return nil
}

func tooSlow() error {
	return fault.New("answer", fault.BadUpstream, "the upstream's answer did not go on within its time limit; it may have carried the call out")
}
