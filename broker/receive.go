package broker

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"mintmark/broker/bundle"
	"mintmark/injector"
	"mintmark/injector/mcp"
	"mintmark/internal/fault"
)

// receive reads the request: its whole body within the limits, and for MCP the
// one strict reading of its message. Nothing is decided here. misrouted is what
// was wrong with the route.
func (b *Broker) receive(c *call, misrouted error) error {
	if err := c.from.checkHost(c.r); err != nil {
		return err
	}
	if misrouted != nil {
		if other, ok := errors.AsType[*methodError](misrouted); ok {
			c.w.Header().Set("Allow", other.allow)
			return other.error
		}
		return misrouted
	}
	if err := b.readBody(c); err != nil {
		return err
	}
	if c.plain {
		return cmp.Or(expectOneMethod(c), expectNoLogin(c))
	}
	return b.readMessage(c)
}

// route takes the upstream's name and the rest of the path from /mcp/NAME or
// /http/NAME/REST, and the method where the head alone says it.
func route(c *call) error {
	if c.r.URL.Opaque != "" || c.r.Method == http.MethodConnect {
		return fault.New("receive", fault.Invalid, "expected a path, got a proxy request; call /mcp/NAME or /http/NAME/PATH")
	}
	kind, rest, _ := strings.Cut(strings.TrimPrefix(c.r.URL.EscapedPath(), "/"), "/")
	name, tail, more := strings.Cut(rest, "/")
	switch {
	case c.r.URL.EscapedPath() == "/mcp":
		return routeMessage(c)
	case kind == "mcp" && name != "" && !more:
		c.name = name
		return routeMessage(c)
	case kind == "http" && name != "":
		c.name = name
		return routePlain(c, tail)
	}
	return fault.New("receive", fault.NotFound, "no such path; call /mcp/NAME or /http/NAME/PATH, or /mcp where that is served")
}

// routeMessage knows what GET and DELETE stand for in the revisions with
// sessions. What a POST asks for is in its body.
func routeMessage(c *call) error {
	switch c.r.Method {
	case http.MethodGet:
		c.method = "stream"
	case http.MethodDelete:
		c.method = "end"
	}
	return allowMethod(c, http.MethodPost, http.MethodGet, http.MethodDelete)
}

// routePlain accepts only a path that every server reads alike.
func routePlain(c *call, tail string) error {
	if err := allowMethod(c, http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete); err != nil {
		return err
	}
	c.method = "http/" + c.r.Method
	c.escaped = "/" + tail
	decoded, err := url.PathUnescape(c.escaped)
	if err == nil {
		err = bundle.PlainPath(decoded, c.escaped)
	}
	if err != nil {
		return fault.New("receive", fault.Invalid, "expected a plain path, which every server reads alike: "+err.Error())
	}
	c.path = decoded
	return nil
}

// methodError refuses a method that a path does not have.
type methodError struct {
	error
	allow string // the methods that it has
}

func allowMethod(c *call, methods ...string) error {
	for _, m := range methods {
		if c.r.Method == m {
			return nil
		}
	}
	allow := strings.Join(methods, ", ")
	return &methodError{allow: allow, error: &mcp.Error{Code: mcp.CodeInvalidRequest, Status: http.StatusMethodNotAllowed,
		Message: fmt.Sprintf("expected method %s on this path, got %.16q", allow, c.r.Method)}}
}

// readBody reads the body whole: what can't be judged whole is not forwarded.
func (b *Broker) readBody(c *call) error {
	limit := int64(b.limits.Body)
	if c.r.ContentLength > limit {
		return tooLarge(limit)
	}
	if c.r.ContentLength == 0 {
		c.whole = true
		return nil
	}
	var body []byte
	var err error
	if c.r.ContentLength > 0 {
		body, c.lent = b.bodies.lend(c.r.ContentLength)
		body, err = readAnnounced(c.r.Body, body, c.r.ContentLength)
	} else {
		body, err = readAll(c.r.Body, limit)
	}
	if err != nil {
		return err
	}
	c.readBy(time.Time{})
	c.body, c.whole = body, true
	return nil
}

func readAll(r io.Reader, limit int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, cutShort(err)
	}
	if int64(len(body)) > limit {
		return nil, tooLarge(limit)
	}
	return body, nil
}

// readAnnounced reads a body of a length that is within the limit, into memory for the
// beginning of it at least.
func readAnnounced(r io.Reader, body []byte, length int64) ([]byte, error) {
	for at := 0; ; {
		n, err := io.ReadFull(r, body[at:])
		if err != nil {
			return nil, cutShort(err)
		}
		if at += n; int64(at) == length {
			return body, nil
		}
		larger := make([]byte, min(length, 2*int64(at)))
		copy(larger, body)
		body = larger
	}
}

func cutShort(err error) error {
	hint := "the body ended before its announced length"
	if te, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err); ok && te.Timeout() {
		hint = "the body did not arrive within the time limit"
	}
	return fault.Wrap("receive", fault.Invalid, hint, err)
}

func tooLarge(limit int64) error {
	return fault.New("receive", fault.TooLarge, "expected a body of at most "+bundle.Size(limit).String()+", got a larger one")
}

// expectNoLogin refuses a plain call whose body is a form that would authenticate it.
func expectNoLogin(c *call) error {
	field, err := injector.FormAuthority(c.r.Header, c.body)
	if err != nil {
		return fault.Wrap("receive", fault.Invalid, err.Error(), err)
	}
	if field != "" {
		return fault.New("receive", fault.Invalid, fmt.Sprintf("expected no field %.32q in the form: the broker authenticates the call, and sends a body as it came", field))
	}
	return nil
}

// expectOneMethod refuses a plain POST whose body names another method.
func expectOneMethod(c *call) error {
	if c.r.Method != http.MethodPost || !injector.Overrides(c.r.Header, c.body) {
		return nil
	}
	return fault.New("receive", fault.Invalid, `expected no "_method" in the body: some servers take it for the method that is meant; send that method itself`)
}

// readMessage reads the MCP message of a POST; the other methods have none.
func (b *Broker) readMessage(c *call) error {
	if err := mcp.CheckSingle(c.r.Header); err != nil {
		return err
	}
	if c.r.Method != http.MethodPost {
		return c.expectNothing()
	}
	if c.r.URL.RawQuery != "" {
		return fault.New("receive", fault.Invalid, fmt.Sprintf("expected no query on an MCP call, got one of %d bytes", len(c.r.URL.RawQuery)))
	}
	if err := mcp.CheckContent(c.r.Header); err != nil {
		return err
	}
	if mcp.IsBatch(c.body) {
		return b.readBatch(c)
	}
	msg, err := b.reader.Read(c.body)
	if err != nil {
		return err
	}
	c.msg, c.method = msg, msg.Method
	return mcp.CheckHeaders(c.r.Header, &c.msg)
}

// expectNothing refuses a GET or DELETE that says more than its session.
func (c *call) expectNothing() error {
	if len(c.body) > 0 || c.r.URL.RawQuery != "" {
		return fault.New("receive", fault.Invalid, fmt.Sprintf("expected neither a body nor a query with %s, got %d bytes of body and %d of query", c.r.Method, len(c.body), len(c.r.URL.RawQuery)))
	}
	return mcp.CheckUnmirrored(c.r.Header)
}
