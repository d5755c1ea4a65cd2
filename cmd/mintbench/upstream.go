package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
)

// The tools of the upstream.
const (
	toolEcho    = "echo"    // answers in JSON
	toolStream  = "stream"  // answers by a stream of one event
	toolHold    = "hold"    // streams one event, and its answer when released
	toolRelease = "release" // lets every held answer end
)

// bearerVariable is the environment variable with the token that the upstream
// demands, and that a proxy sets.
const bearerVariable = "MINTBENCH_BEARER"

// upstream answers tools/call as fast as it can. It takes calls with the
// injected token only, so that a proxy that loses it is seen.
type upstream struct {
	authorization []byte    // prefix of the header's value
	idle          sync.Pool // of *exchange: a connection may be for one call only

	mu       sync.Mutex
	released chan struct{}
}

func serveUpstream(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return errors.New("want one address to listen at")
	}
	l, err := listenAt(ctx, args[0])
	if err != nil {
		return err
	}
	return newUpstream(os.Getenv(bearerVariable)).serve(l)
}

// listenAt listens at an address until ctx ends.
func listenAt(ctx context.Context, address string) (net.Listener, error) {
	// Without keep-alive probes, whose four system calls are for nothing on loopback.
	l, err := (&net.ListenConfig{KeepAlive: -1}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = l.Close() }) // ends the process by what Accept returns
	return l, nil
}

func newUpstream(bearer string) *upstream {
	return &upstream{authorization: []byte("Bearer " + bearer), released: make(chan struct{})}
}

func (u *upstream) serve(l net.Listener) error {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		go u.connection(conn)
	}
}

// connection answers the calls on one connection until it ends.
func (u *upstream) connection(conn net.Conn) {
	defer conn.Close()
	x, ok := u.idle.Get().(*exchange)
	if !ok {
		x = newExchange()
	}
	defer u.idle.Put(x)
	x.reset(conn)
	for {
		err := x.read()
		if errors.Is(err, io.EOF) {
			abandon(conn)
		}
		if err != nil {
			return
		}
		u.answer(x)
		if err := x.write(); err != nil || x.head.Close {
			return
		}
	}
}

// abandon forgets a connection that the other side has closed, answered in
// full. That side would hold its port for a minute after: it lets go of it when
// it is told that the connection is unknown here. So a proxy that opens a
// connection for each call does not run out of ports.
func abandon(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // else it ends as any other
	}
}

// answer makes the answer, in full unless it is held.
func (u *upstream) answer(x *exchange) {
	if !bytes.HasPrefix(x.head.Authorization, u.authorization) {
		x.refuse("401 Unauthorized", `{"error":"no good bearer"}`+"\n")
		return
	}
	id, tool := between(x.body, `"id":`, ","), between(x.body, `"name":"`, `"`)
	switch string(tool) {
	case toolEcho:
		x.json(id)
	case toolStream:
		x.begin()
		x.event(result(nil, id))
		x.end()
	case toolHold:
		gate := u.gate() // before the caller can know that it is held, and release it
		x.begin()
		x.event([]byte(progress))
		if x.write() == nil {
			<-gate
		}
		x.event(result(nil, id))
		x.end()
	case toolRelease:
		u.release()
		x.json(id)
	default:
		x.refuse("404 Not Found", "")
	}
}

// between returns what stands in s behind before and up to after. The calls are
// of one known form.
func between(s []byte, before, after string) []byte {
	_, rest, _ := bytes.Cut(s, []byte(before))
	found, _, _ := bytes.Cut(rest, []byte(after))
	return found
}

func (u *upstream) gate() <-chan struct{} {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.released
}

func (u *upstream) release() {
	u.mu.Lock()
	defer u.mu.Unlock()
	close(u.released)
	u.released = make(chan struct{})
}
