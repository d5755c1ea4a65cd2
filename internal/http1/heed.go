package http1

import (
	"context"
	"sync"
	"time"
)

// unheeded is how long a call is under way before anyone listens for the end of its
// context: most have ended by then, and are spared what that costs.
const unheeded = 10 * time.Millisecond

// heed interrupts a connection when the context of the call on it ends.
type heed struct {
	interrupt func()
	timer     *time.Timer

	mu   sync.Mutex
	ctx  context.Context //nolint:containedctx // of the call under way; nil: there is none
	stop func() bool     // no longer interrupts; nil: it does not yet
}

func (h *heed) open(interrupt func()) {
	h.interrupt = interrupt
	h.timer = time.AfterFunc(time.Hour, h.listen)
	h.timer.Stop()
}

// begin is called when a call begins.
func (h *heed) begin(ctx context.Context) {
	h.mu.Lock()
	h.ctx = ctx
	h.mu.Unlock()
	h.timer.Reset(unheeded)
}

// listen is called by the timer.
func (h *heed) listen() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ctx != nil && h.stop == nil { // a late one of the call before may come first
		h.stop = context.AfterFunc(h.ctx, h.interrupt)
	}
}

// end is called when the call has ended. It returns true when the call was not and
// will not be interrupted.
func (h *heed) end() bool {
	h.timer.Stop()
	h.mu.Lock()
	stop := h.stop
	h.ctx, h.stop = nil, nil
	h.mu.Unlock()
	return stop == nil || stop()
}
