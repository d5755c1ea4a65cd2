package http1

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// exchange is one request and its answer.
type exchange struct {
	peer    *peer
	request http.Request
	body    body
	bodyErr error

	status int   // of the answer; 0: not begun
	left   int64 // of its body, that its header announced and that is not written yet; -1: it announced none
	err    error

	// Flags stand together: one between the others would take the room of eight.
	read     bool // the request's body was read to its end
	expects  bool // the client waits to be told to send it
	headSent bool // the answer's head is in peer.out, or further
	chunked  bool
	bodyless bool
	last     bool // the connection ends after this answer
}

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
	r.Host = h.host.value
	if target.Host != "" {
		r.Host = target.Host
	}
	clear(p.header)            // no handler keeps it: with its return the answer is over
	p.write.want = time.Time{} // the last answer's is over
	x.last, x.left = h.close, -1
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
	if x.err != nil || !x.bodyless && x.left > 0 {
		return false
	}
	if !x.read {
		x.peer.linger()
	}
	return !x.last && x.read
}
