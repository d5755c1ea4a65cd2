package http1

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

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
