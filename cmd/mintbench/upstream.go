package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"

	"mintmark/cmd/mintbench/load"
	"mintmark/cmd/mintbench/wire"
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
	authorization []byte // prefix of the header's value

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
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
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
	r := bufio.NewReaderSize(conn, 32<<10)
	var h wire.Head
	var body, out []byte
	for {
		if err := wire.ReadHead(r, &h); err != nil {
			return
		}
		var err error
		if body, err = wire.ReadBody(r, &h, body[:0]); err != nil {
			return
		}
		out = u.answer(conn, &h, body, out[:0])
		if _, err := conn.Write(out); err != nil || h.Close {
			return
		}
	}
}

// answer appends the answer to out. One that is held writes its beginning
// itself.
func (u *upstream) answer(conn net.Conn, h *wire.Head, body, out []byte) []byte {
	if !bytes.HasPrefix(h.Authorization, u.authorization) {
		return append(out, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 27\r\n\r\n"+`{"error":"no good bearer"}`+"\n"...)
	}
	id, tool := between(body, `"id":`, ","), between(body, `"name":"`, `"`)
	switch string(tool) {
	case toolEcho:
		return appendJSON(out, id)
	case toolStream:
		return appendEnd(appendEvent(appendStream(out), result(nil, id)))
	case toolHold:
		gate := u.gate() // before the caller can know that it is held, and release it
		out = appendEvent(appendStream(out), progress(nil))
		if _, err := conn.Write(out); err != nil {
			return out[:0]
		}
		<-gate
		return appendEnd(appendEvent(out[:0], result(nil, id)))
	case toolRelease:
		u.release()
		return appendJSON(out, id)
	}
	return append(out, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"...)
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

func appendJSON(out, id []byte) []byte {
	length := len(beforeID) + len(id) + len(afterID)
	out = append(out, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "...)
	out = strconv.AppendInt(out, int64(length), 10)
	return result(append(out, "\r\n\r\n"...), id)
}

const (
	beforeID = `{"jsonrpc":"2.0","id":`
	afterID  = `,"result":{"resultType":"complete","content":[{"type":"text","text":"` + load.Marker + `"}],"isError":false}}`
)

// result appends the message of a good answer.
func result(out, id []byte) []byte {
	return append(append(append(out, beforeID...), id...), afterID...)
}

func progress(out []byte) []byte {
	return append(out, `{"jsonrpc":"2.0","method":"`+load.Progress+`","params":{"progressToken":1,"progress":1}}`...)
}

func appendStream(out []byte) []byte {
	return append(out, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n"+
		"X-Accel-Buffering: no\r\nTransfer-Encoding: chunked\r\n\r\n"...)
}

// appendEvent appends one event as one chunk.
func appendEvent(out, message []byte) []byte {
	return fmt.Appendf(out, "%x\r\ndata: %s\n\n\r\n", len(message)+len("data: \n\n"), message)
}

func appendEnd(out []byte) []byte { return append(out, "0\r\n\r\n"...) }
