package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"mintmark/internal/fault"
)

// handler is where a request enters: it bounds how many are under way, gives
// each its id and its snapshot, and answers what the steps refuse. What OAuth
// clients read before they have a token is no call.
func (b *Broker) handler(l *listener) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if path, ok := metadataPath(r); ok {
			b.serveMetadata(l, w, r, path)
			return
		}
		c := &call{head: head{ResponseWriter: w}, r: r, from: l, id: newID(), started: b.clock(), plain: strings.HasPrefix(r.URL.Path, "/http/"), verb: r.Method, header: r.Header}
		c.w = &c.head
		c.ctx, c.end = context.WithCancelCause(r.Context())
		defer c.end(nil)
		var entered bool
		if c.snap, entered = b.enter(); entered {
			defer c.snap.calls.Done()
		}
		if r.ContentLength != 0 {
			c.readBy(time.Now().Add(b.limits.BodyTime.Duration))
		}
		defer b.catch(c)
		if err := b.admitted(c, entered); err != nil {
			b.refuse(c, err)
		}
	})
}

// admitted serves the call, when there is room for it.
func (b *Broker) admitted(c *call, entered bool) error {
	if !entered {
		return fault.New("receive", fault.Unavailable, "the broker is stopping")
	}
	select {
	case b.slots <- struct{}{}:
		c.slotted = true
	default:
		return fault.New("receive", fault.Unavailable, "too many calls are under way")
	}
	defer b.leaveSlot(c)
	return b.serve(c)
}

// leaveSlot makes room for another call.
func (b *Broker) leaveSlot(c *call) {
	if c.slotted {
		<-b.slots
		c.slotted = false
	}
}

// takeSlot waits for room again.
func (b *Broker) takeSlot(ctx context.Context, c *call) error {
	select {
	case b.slots <- struct{}{}:
		c.slotted = true
		return nil
	case <-ctx.Done():
		return gone(ctx)
	}
}

// catch makes a panic of a step a refusal, and cuts an answer that had begun
// short. What was thrown may hold anything, so that only its type is kept.
func (b *Broker) catch(c *call) {
	v := recover()
	if v == nil {
		return
	}
	if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(v) // our own: it cuts an answer short
	}
	b.logPanic(c, v)
	begun := c.head.sent
	if !begun {
		clear(c.w.Header()) // they may be those of an answer
	}
	b.refuse(c, fault.New("internal", fault.Internal, ""))
	if begun {
		panic(http.ErrAbortHandler)
	}
}

// caught keeps a panic of what is done aside from a call from ending the broker.
func (b *Broker) caught(c *call) {
	if v := recover(); v != nil {
		b.logPanic(c, v)
	}
}

func (b *Broker) logPanic(c *call, v any) {
	b.logger.ErrorContext(c.r.Context(), "a call panicked", slog.String("call", c.id), slog.String("type", fmt.Sprintf("%T", v)), slog.String("stack", string(debug.Stack())))
}

// head is the agent's side of a call, and knows whether its answer has begun.
type head struct {
	http.ResponseWriter
	sent bool
}

// WriteHeader implements http.ResponseWriter.
func (h *head) WriteHeader(status int) {
	h.sent = true
	h.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (h *head) Write(p []byte) (int, error) {
	h.sent = true
	return h.ResponseWriter.Write(p)
}

// Unwrap gives an http.ResponseController what lies below.
func (h *head) Unwrap() http.ResponseWriter { return h.ResponseWriter }

// readBy sets until when the agent may take to say more, and writeBy to read more. Not
// every connection has deadlines.
func (c *call) readBy(t time.Time) { _ = http.NewResponseController(c.w).SetReadDeadline(t) }

func (c *call) writeBy(t time.Time) { _ = http.NewResponseController(c.w).SetWriteDeadline(t) }

// Run serves until ctx ends or a listener fails; it does not close the broker.
func (b *Broker) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, l := range b.listeners {
		group.Go(func() error { return l.serve() })
		b.logger.InfoContext(ctx, "listening", slog.String("address", l.net.Addr().String()), slog.Bool("tls", l.secure))
	}
	if b.admin != nil {
		admin := &http.Server{Handler: b.adminHandler(), ReadHeaderTimeout: 5 * time.Second}
		group.Go(func() error { return ended(admin.Serve(b.admin)) })
		defer func() { _ = admin.Close() }()
	}
	group.Go(func() error {
		b.streams.supervise(ctx, b.clock)
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		_ = b.shutdown(context.WithoutCancel(ctx))
		return nil
	})
	return group.Wait()
}

// Drain has /readyz say that the broker is stopping, while it goes on as before: what
// sends calls by that has time to send them elsewhere.
func (b *Broker) Drain() { b.draining.Store(true) }

// shutdown stops taking calls, lets the ones under way end within their time,
// and cuts the rest. It may be called again.
func (b *Broker) shutdown(ctx context.Context) error {
	b.Drain()
	b.waiting.close()
	ctx, cancel := context.WithTimeout(ctx, b.limits.Shutdown.Duration)
	defer cancel()
	var group errgroup.Group
	for _, l := range b.listeners {
		group.Go(func() error { return l.shutdown(ctx) })
	}
	err := group.Wait()
	if b.admin != nil {
		_ = b.admin.Close() // last: it has told until now that the broker is stopping
	}
	return err
}

// Addresses returns where the broker listens, in the order of the registration.
func (b *Broker) Addresses() []net.Addr {
	addrs := make([]net.Addr, len(b.listeners))
	for i, l := range b.listeners {
		addrs[i] = l.net.Addr()
	}
	return addrs
}
