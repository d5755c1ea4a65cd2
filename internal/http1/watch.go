package http1

import (
	"sync"
	"time"
)

// unwatched is how long a request is served before anyone looks whether its client
// is still there: most have ended by then, and are spared a second goroutine.
const unwatched = 10 * time.Millisecond

// watch notices that a client leaves while its request is served: it reads from the
// connection, on which nothing but the next request should come.
type watch struct {
	peer  *peer
	timer *time.Timer

	mu      sync.Mutex
	armed   bool
	reading bool
	ended   chan struct{} // the reading has
	got     []byte        // of the next request
}

func (w *watch) open(p *peer) {
	w.peer = p
	w.timer = time.AfterFunc(time.Hour, w.look)
	w.timer.Stop()
}

// start is called when the whole request has been read.
func (w *watch) start() {
	w.mu.Lock()
	w.armed = true
	w.mu.Unlock()
	w.timer.Reset(unwatched)
}

func (w *watch) look() {
	w.mu.Lock()
	if !w.armed || w.reading { // a late one of the request before may have come first
		w.mu.Unlock()
		return
	}
	w.reading, w.ended = true, make(chan struct{})
	ended := w.ended
	// Under the lock: stop sets another deadline to end the reading.
	w.peer.read.want = time.Time{}
	_ = w.peer.read.apply()
	w.mu.Unlock()
	defer close(ended)
	var some [512]byte
	for {
		n, err := w.peer.net.Read(some[:])
		if !w.more(some[:n], err) {
			return
		}
	}
}

// more takes what came, and returns whether to read on: who says more may leave too.
func (w *watch) more(some []byte, err error) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.got = append(w.got, some...)
	w.reading = err == nil && w.armed && len(w.got) < w.peer.server.MaxHead
	if err != nil && w.armed { // else it was stopped
		w.peer.cancel()
	}
	return w.reading
}

// stop is called when the request has been served. What came of the next one is in
// the input then.
func (w *watch) stop() {
	w.timer.Stop()
	w.mu.Lock()
	reading, ended := w.reading, w.ended
	w.armed = false
	if reading {
		past := time.Unix(1, 0)
		w.peer.read.has = past
		_ = w.peer.read.set(past)
	}
	w.mu.Unlock()
	if reading {
		<-ended
	}
	if len(w.got) > 0 {
		w.peer.in.unread(w.got)
		w.got = nil // it may be long
	}
}
