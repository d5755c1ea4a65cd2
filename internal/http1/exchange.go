package http1

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// exchange is one request and its answer.
type exchange struct {
	peer    *peer
	request http.Request
	body    body
	read    bool // the body was read to its end
	bodyErr error
	expects bool // the client waits to be told to send its body

	header   http.Header
	status   int   // 0: not begun
	length   int64 // of the answer's body as its header announced it; -1: it didn't
	written  int64 // of the answer's body
	headSent bool  // the head is in peer.out, or further
	chunked  bool
	bodyless bool
	last     bool // the connection ends after this answer
	err      error
}

// maxOut is how much of an answer is held before it is written.
const maxOut = 8 << 10

// begin makes the request of its head.
func (x *exchange) begin(h head) error {
	target, err := parseTarget(h)
	if err != nil {
		return err
	}
	p := x.peer
	x.request = p.blank
	r := &x.request
	r.Method, r.URL, r.Header, r.RequestURI, r.RemoteAddr, r.TLS = h.method, target, h.header, h.target, p.from, p.state
	r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.1", 1, 1
	if h.old {
		r.Proto, r.ProtoMinor = "HTTP/1.0", 0
	}
	if len(h.host) > 0 {
		r.Host = h.host[0]
	}
	if target.Host != "" {
		r.Host = target.Host
	}
	clear(p.header) // no handler keeps it: with its return the answer is over
	x.header = p.header
	p.write.want = time.Time{} // the last answer's is over
	x.last, x.length = h.close, -1
	return x.delimit(h)
}

// parseTarget reads the forms of a request's target (RFC 9112, section 3.2).
func parseTarget(h head) (*url.URL, error) {
	if h.method == http.MethodConnect {
		return &url.URL{Host: h.target}, nil
	}
	if h.target == "*" {
		return &url.URL{Path: "*"}, nil
	}
	u, err := url.ParseRequestURI(h.target)
	if err != nil {
		return nil, errors.New("expected a path or URL to call")
	}
	return u, nil
}

// delimit sets out where the request's body ends.
func (x *exchange) delimit(h head) error {
	r := &x.request
	r.Body = http.NoBody
	switch {
	case h.chunked:
		r.ContentLength, r.TransferEncoding = -1, []string{"chunked"}
		x.body.chunked = true
	case h.length > 0:
		r.ContentLength = h.length
		x.body.left = h.length
	default:
		x.read = true
		x.peer.watch.start()
		return nil
	}
	delete(h.header, "Transfer-Encoding")
	r.Body = requestBody{x}
	switch expect := h.header["Expect"]; {
	case len(expect) == 0 || h.old:
	case len(expect) == 1 && strings.EqualFold(expect[0], "100-continue"):
		x.expects = true
	default:
		return errExpect
	}
	return nil
}

// requestBody is the body of a request.
type requestBody struct{ x *exchange }

// Read implements io.Reader.
func (b requestBody) Read(p []byte) (int, error) {
	x := b.x
	if x.read || x.bodyErr != nil {
		return 0, errorOr(x.bodyErr, io.EOF)
	}
	if len(p) == 0 {
		return 0, nil
	}
	if x.expects && x.status == 0 {
		if err := x.peer.goOn(); err != nil {
			x.bodyErr = err
			return 0, err
		}
	}
	x.expects = false
	n, err := x.body.read(&x.peer.in, p)
	switch {
	case errors.Is(err, io.EOF):
		x.read = true
		x.peer.watch.start()
	case err != nil:
		x.bodyErr = err
	}
	return n, err
}

// Close implements io.Closer.
func (requestBody) Close() error { return nil }

// goOn tells a client that waits for it to send the body, in the time of a head.
func (p *peer) goOn() error {
	was := p.write.want
	p.write.want = time.Now().Add(p.server.HeadTime)
	p.out = append(p.out, "HTTP/1.1 100 Continue\r\n\r\n"...)
	err := p.flush()
	p.write.want = was
	return err
}

func errorOr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// respond has the handler answer.
func (x *exchange) respond() {
	defer x.peer.watch.stop()
	x.peer.server.Handler.ServeHTTP(x, &x.request)
}

// Header implements http.ResponseWriter.
func (x *exchange) Header() http.Header { return x.header }

// WriteHeader implements http.ResponseWriter.
func (x *exchange) WriteHeader(status int) {
	if x.status != 0 {
		return
	}
	x.status = status
	x.bodyless = x.request.Method == http.MethodHead || status < 200 || status == http.StatusNoContent || status == http.StatusNotModified
	if value := x.header["Content-Length"]; len(value) > 0 {
		n, ok := decimal(value[0])
		if len(value) > 1 || !ok {
			delete(x.header, "Content-Length")
			return
		}
		x.length = n
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
	if x.length >= 0 && x.written+int64(len(b)) > x.length {
		return 0, http.ErrContentLength
	}
	if x.written += int64(len(b)); !x.headSent && x.length < 0 && len(x.peer.out)+len(b) <= maxOut {
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
	delete(x.header, "Transfer-Encoding")
	switch {
	case x.bodyless && x.request.Method != http.MethodHead, x.status == http.StatusNoContent:
		if x.status != http.StatusNotModified {
			delete(x.header, "Content-Length")
		}
	case x.length >= 0 || x.bodyless:
	case whole:
		x.length = held
		x.header["Content-Length"] = []string{strconv.FormatInt(held, 10)}
	case x.request.ProtoMinor == 0:
		x.last = true
	default:
		x.chunked = true
	}
	if closes(x.header["Connection"]) || x.request.ProtoMinor == 0 || !x.read || x.peer.server.ends() {
		x.last = true
	}
	delete(x.header, "Connection")
}

func (x *exchange) appendHead() {
	b := append(x.peer.out, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(x.status), 10)
	b = append(b, ' ')
	b = append(b, http.StatusText(x.status)...)
	b = append(b, "\r\n"...)
	for name, values := range x.header {
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
	if x.header["Date"] == nil {
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

// end completes the answer, and returns whether the connection may serve another
// request.
func (x *exchange) end() bool {
	if x.status == 0 {
		x.WriteHeader(http.StatusOK)
	}
	x.sendHead(true)
	if x.chunked {
		x.peer.out = append(x.peer.out, "0\r\n\r\n"...)
	}
	x.fail(x.peer.flush())
	if x.err != nil || !x.bodyless && x.length >= 0 && x.written != x.length {
		return false
	}
	if !x.read {
		x.peer.linger()
	}
	return !x.last && x.read
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

// brief is how long the few bytes that no handler writes may take.
const brief = 5 * time.Second

// lingering is how long a client is listened to that was answered before it had said
// all: what comes to a closed connection makes the system drop the answer too.
const lingering = 500 * time.Millisecond

func (p *peer) linger() {
	half, ok := p.net.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	_ = p.read.set(time.Now().Add(lingering))
	_, _ = io.CopyN(io.Discard, p.net, 256<<10)
}

var (
	errExpect   = errors.New("expected no expectation but 100-continue")
	errProtocol = errors.New("expected HTTP/1.1")
	errNoTLS    = errors.New("expected TLS, got plain HTTP: call https://")
	errCoding   = errors.New("expected no transfer coding but chunked, and that in HTTP/1.1")
)

// refuse answers what is no request, with what was wrong in our own words.
func (p *peer) refuse(err error) {
	p.debug("read a request", err)
	if ne := net.Error(nil); errors.As(err, &ne) || errors.Is(err, io.ErrUnexpectedEOF) {
		return // nobody waits
	}
	status := http.StatusBadRequest
	switch {
	case errors.Is(err, errTooLong):
		status = http.StatusRequestHeaderFieldsTooLarge
	case errors.Is(err, errExpect):
		status = http.StatusExpectationFailed
	case errors.Is(err, errProtocol):
		status = http.StatusHTTPVersionNotSupported
	case errors.Is(err, errCoding):
		status = http.StatusNotImplemented
	}
	text := strconv.Itoa(status) + " " + http.StatusText(status)
	body := text + ": " + err.Error() + "\n"
	p.out = append(p.out[:0], "HTTP/1.1 "+text+"\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\nContent-Length: "+strconv.Itoa(len(body))+"\r\n\r\n"+body...)
	p.write.want = time.Now().Add(brief)
	if p.flush() == nil {
		p.linger()
	}
}
