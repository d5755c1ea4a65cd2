package http1

import (
	"net/http"
	"strconv"
	"time"
)

// maxOut is how much of an answer is held before it is written.
const maxOut = 8 << 10

// Header implements http.ResponseWriter.
func (x *exchange) Header() http.Header { return x.peer.header }

// WriteHeader implements http.ResponseWriter.
func (x *exchange) WriteHeader(status int) {
	if x.status != 0 {
		return
	}
	x.status = status
	x.bodyless = x.request.Method == http.MethodHead || status < 200 || status == http.StatusNoContent || status == http.StatusNotModified
	if value := x.peer.header["Content-Length"]; len(value) > 0 {
		n, ok := decimal(value[0])
		if len(value) > 1 || !ok {
			delete(x.peer.header, "Content-Length")
			return
		}
		x.left = n
	}
}

// Write implements http.ResponseWriter.
func (x *exchange) Write(b []byte) (int, error) {
	if x.status == 0 {
		x.WriteHeader(http.StatusOK)
	}
	if x.err != nil {
		return 0, x.err
	}
	if len(b) == 0 {
		return 0, nil
	}
	if x.bodyless {
		if x.request.Method == http.MethodHead {
			return len(b), nil // as if it had gone on
		}
		return 0, http.ErrBodyNotAllowed
	}
	switch n := int64(len(b)); {
	case x.left >= n:
		x.left -= n
	case x.left >= 0:
		return 0, http.ErrContentLength
	case !x.headSent && len(x.peer.out)+len(b) <= maxOut:
		x.peer.out = append(x.peer.out, b...) // its head is put before it
		return len(b), nil
	}
	x.sendHead(false)
	x.piece(b)
	if x.err != nil {
		return 0, x.err
	}
	return len(b), nil
}

// piece sends some of the body after the head.
func (x *exchange) piece(b []byte) {
	p := x.peer
	if len(b) == 0 {
		return
	}
	if x.chunked {
		p.out = strconv.AppendInt(p.out, int64(len(b)), 16)
		p.out = append(p.out, "\r\n"...)
	}
	if len(p.out)+len(b) > maxOut {
		x.fail(p.flush())
		if len(b) > maxOut && x.err == nil {
			x.fail(p.send(b))
			b = nil
		}
	}
	p.out = append(p.out, b...)
	if x.chunked {
		p.out = append(p.out, "\r\n"...)
	}
}

func (x *exchange) fail(err error) {
	if x.err == nil {
		x.err = err
	}
}

// FlushError writes what is held. It is found by an http.ResponseController.
func (x *exchange) FlushError() error {
	if x.status == 0 {
		x.WriteHeader(http.StatusOK)
	}
	x.sendHead(false)
	x.fail(x.peer.flush())
	return x.err
}

// SetReadDeadline is found by an http.ResponseController.
func (x *exchange) SetReadDeadline(t time.Time) error {
	x.peer.watch.mu.Lock()
	defer x.peer.watch.mu.Unlock()
	x.peer.read.want = t
	return nil
}

// SetWriteDeadline is found by an http.ResponseController. It holds for the writes
// that follow, to the end of this answer.
func (x *exchange) SetWriteDeadline(t time.Time) error {
	x.peer.write.want = t
	return nil
}

// sendHead puts the head before what is held of the body, once. whole says that
// this is all of it.
func (x *exchange) sendHead(whole bool) {
	if x.headSent {
		return
	}
	x.headSent = true
	held := x.peer.out
	x.peer.out = x.peer.spare[:0]
	x.frame(whole, int64(len(held)))
	x.appendHead()
	x.piece(held)
	x.peer.spare = held[:0]
}

// frame says how the answer's body is delimited.
func (x *exchange) frame(whole bool, held int64) {
	delete(x.peer.header, "Transfer-Encoding")
	switch {
	case x.bodyless && x.request.Method != http.MethodHead, x.status == http.StatusNoContent:
		if x.status != http.StatusNotModified {
			delete(x.peer.header, "Content-Length")
		}
	case x.left >= 0 || x.bodyless:
	case whole:
		x.left = 0
		x.peer.header["Content-Length"] = []string{strconv.FormatInt(held, 10)}
	case x.request.ProtoMinor == 0:
		x.last = true
	default:
		x.chunked = true
	}
	if closes(x.peer.header["Connection"]) || x.request.ProtoMinor == 0 || !x.read || x.peer.server.ends() {
		x.last = true
	}
	delete(x.peer.header, "Connection")
}

func (x *exchange) appendHead() {
	b := append(x.peer.out, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(x.status), 10)
	b = append(b, ' ')
	b = append(b, http.StatusText(x.status)...)
	b = append(b, "\r\n"...)
	for name, values := range x.peer.header {
		if !isToken(name) {
			continue
		}
		for _, v := range values {
			b = append(b, name...)
			b = append(b, ": "...)
			b = appendValue(b, v)
			b = append(b, "\r\n"...)
		}
	}
	if x.peer.header["Date"] == nil {
		b = append(b, "Date: "...)
		b = time.Now().UTC().AppendFormat(b, http.TimeFormat)
		b = append(b, "\r\n"...)
	}
	if x.chunked {
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	if x.last {
		b = append(b, "Connection: close\r\n"...)
	}
	x.peer.out = append(b, "\r\n"...)
}

// appendValue appends a header's value on one line.
func appendValue(b []byte, v string) []byte {
	if isValue(v) {
		return append(b, v...)
	}
	for i := range len(v) {
		if c := v[i]; c < ' ' && c != '\t' || c == 0x7f {
			b = append(b, ' ')
		} else {
			b = append(b, c)
		}
	}
	return b
}

// flush writes what is held.
func (p *peer) flush() error {
	if len(p.out) == 0 {
		return nil
	}
	err := p.send(p.out)
	p.out = p.out[:0]
	return err
}

func (p *peer) send(b []byte) error {
	if err := p.write.apply(); err != nil {
		return err
	}
	_, err := p.net.Write(b)
	return err
}
