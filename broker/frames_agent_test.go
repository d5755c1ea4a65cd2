package broker_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"mintmark/internal/trustdomain"
)

// framedAgent calls the broker over HTTP/2 by frames of its own. It keeps its
// connection while that lasts.
type framedAgent struct {
	w    *world
	cert *tls.Certificate // nil: it shows none
	conn *framed
	next uint32
}

// agents are the ways in which an agent over TLS proves who it is.
func (w *world) agents() map[string]*framedAgent {
	cert := w.certificate(w.domain, "shop", trustdomain.X509Request{})
	return map[string]*framedAgent{"by token": {w: w}, "by certificate": {w: w, cert: &cert}}
}

// proves is what the agent's request has in it to prove who it is.
func (a *framedAgent) proves() []string {
	if a.cert != nil {
		return nil
	}
	return []string{"authorization", "Bearer " + a.w.agent}
}

// dial makes a connection.
func (a *framedAgent) dial() error {
	config := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"}} // what is tested is whom the broker believes
	if a.cert != nil {
		config.Certificates = []tls.Certificate{*a.cert}
	}
	conn, err := tls.Dial("tcp", a.w.secure, config)
	if err != nil {
		return err
	}
	a.w.t.Cleanup(func() { _ = conn.Close() })
	if got := conn.ConnectionState().NegotiatedProtocol; got != "h2" {
		return fmt.Errorf("negotiate: got %q, want h2", got)
	}
	a.conn, a.next = newFramed(conn, io.TeeReader(conn, &a.w.received)), 1
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		return err
	}
	return a.conn.WriteSettings()
}

// do makes one call: a block of fields, data, and a block after it. It returns what
// came, or an error where that was no answer.
func (a *framedAgent) do(fields []string, text string, trailer ...string) answer {
	a.w.t.Helper()
	if a.conn == nil {
		if err := a.dial(); err != nil {
			a.w.t.Fatal(err)
		}
	}
	_ = a.conn.conn.SetDeadline(time.Now().Add(patience))
	id := a.next
	a.next += 2
	a.conn.headers(id, text == "" && trailer == nil, fields...)
	if text != "" {
		_ = a.conn.WriteData(id, trailer == nil, []byte(text))
	}
	if trailer != nil {
		a.conn.headers(id, true, trailer...)
	}
	got, lasts := a.conn.answer(id)
	if !lasts {
		_ = a.conn.conn.Close()
		a.conn = nil
	}
	return got
}

// answer reads the answer on a stream, and reports whether the connection goes on.
func (f *framed) answer(id uint32) (got answer, lasts bool) {
	got.header = http.Header{}
	var text bytes.Buffer
	defer func() { got.body = text.String() }()
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			got.err = err
			return got, false
		}
		f.settle(frame)
		if away, ok := frame.(*http2.GoAwayFrame); ok {
			got.err = fmt.Errorf("go away: %s %q", away.ErrCode, away.DebugData())
			return got, false
		}
		if frame.Header().StreamID != id {
			continue
		}
		ends := false
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			for _, field := range frame.Fields {
				got.header.Add(field.Name, field.Value)
			}
			if status := frame.PseudoValue("status"); status != "" {
				got.status, _ = strconv.Atoi(status)
			}
			ends = frame.StreamEnded()
		case *http2.DataFrame:
			text.Write(frame.Data())
			ends = frame.StreamEnded()
		case *http2.RSTStreamFrame:
			got.err = fmt.Errorf("reset: %s", frame.ErrCode)
			return got, true
		}
		if ends {
			return got, true
		}
	}
}

// asked are the fields of an ordinary request, with others after them.
func (a *framedAgent) asked(verb, path string, more ...string) []string {
	return slices.Concat([]string{":method", verb, ":scheme", "https", ":authority", a.w.secure, ":path", path},
		a.proves(), []string{"content-type", jsonType, "accept", "application/json, text/event-stream"}, more)
}

// spelt are the lines of a head as fields: @ is what is smuggled. What is no line of a
// name and a value is a value as it is.
func spelt(head string) (fields []string) {
	if strings.Contains(head, "\r\n ") || strings.Contains(head, "\r\n\t") {
		return []string{"x-a", strings.ReplaceAll(head, "@", smuggled)} // a fold
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(strings.ReplaceAll(head, "@", smuggled), "\r\n"), "\r\n") {
		name, value, _ := strings.Cut(line, ":")
		fields = append(fields, strings.ToLower(name), strings.TrimPrefix(value, " "))
	}
	return fields
}

// blocks are what an agent adds to the fields of an ordinary request that HTTP/1.1 has
// no way to say.
func blocks() map[string][]string {
	return map[string][]string{
		"a name in upper case":        {"X-Api-Key", smuggled, "Authorization", "Bearer " + smuggled},
		"CR LF in a value":            {"accept-language", "en\r\nauthorization: Bearer " + smuggled + "\r\n"},
		"LF in a value":               {"accept-language", "en\ncookie: " + smuggled},
		"NUL in a value":              {"accept-language", "en\x00" + smuggled},
		"a request in a value":        {"accept-language", "en\r\n\r\nGET /v1/hidden HTTP/1.1\r\nX-Api-Key: " + smuggled + "\r\n\r\n"},
		"CR LF in a name":             {"accept-language: en\r\nx-api-key: " + smuggled + "\r\nx-a", "1"},
		"a colon in a name":           {"x-api-key: " + smuggled, "1"},
		"blanks about a value":        {"x-api-key", " \t" + smuggled + "\t "},
		"a name of nothing":           {"", smuggled},
		"the host beside it":          {"host", smuggled},
		"the authority twice":         {":authority", smuggled},
		"the path twice":              {":path", "/http/bearer-http/" + smuggled},
		"the method twice":            {":method", "DELETE"},
		"a pseudo-header of a server": {":status", "200"},
		"a pseudo-header of no kind":  {":token", smuggled},
		"a protocol":                  {":protocol", "websocket"},
		"another length":              {"content-length", "3"},
		"two lengths":                 {"content-length", "0", "content-length", "4"},
		"a coding":                    {"transfer-encoding", "chunked", "x-api-key", smuggled},
		"trailers":                    {"te", "trailers", "trailer", "authorization"},
		"crumbs":                      {"cookie", "a=b", "cookie", "sid=" + smuggled, "cookie", smuggled},
		"settings":                    {"http2-settings", smuggled, "upgrade", "h2c", "connection", "upgrade, http2-settings"},
		"a large block":               {"x-api-key", smuggled + repeat("x", 60<<10)},
		"a larger block":              {"x-api-key", smuggled + repeat("x", 300<<10)},
	}
}

// What an agent adds to a request over HTTP/2 goes no further than what it adds to one
// over HTTP/1.1, whichever way it proves who it is.
func TestAHostileAgentSmugglesNothingOverHTTP2(t *testing.T) {
	t.Parallel()
	all := blocks()
	for name, head := range heads() {
		all["as in HTTP/1.1: "+name] = spelt(head)
	}
	w := hostileOver(t, "http", "bearer")
	w.upstream.does(reflection)
	for how, a := range w.agents() {
		reached := 0
		for name, fields := range all {
			for _, verb := range []string{"GET", "POST"} {
				path, text := "/http/bearer-http/x", ""
				if verb == "POST" {
					path, text = "/mcp/bearer", toolCall("lookup_order")
				}
				before := w.upstream.taken()
				got := a.do(a.asked(verb, path, fields...), text)
				w.wantNothingSmuggled(how+", "+name, got, before)
				w.wantNoSighting(got)
				reached += w.upstream.taken() - before
			}
		}
		if reached < len(all)/2 {
			t.Errorf("%s: %d of %d calls came to the upstream, want more: nothing is tried by the others", how, reached, 2*len(all))
		}
	}
	w.wantNoTrace()
	t.Logf("%d blocks: %v", len(all), slices.Sorted(maps.Keys(all)))
}

// Nor does what it says after the body, and it chooses no target.
func TestAHostileAgentChoosesNoTargetOverHTTP2(t *testing.T) {
	t.Parallel()
	w := hostileOver(t, "http", "bearer")
	w.upstream.does(reflection)
	for how, a := range w.agents() {
		for line, want := range targets(w) {
			verb, target, _ := strings.Cut(line, " ")
			before := w.upstream.taken()
			got := a.do(a.asked(verb, target), "")
			w.wantNothingSmuggled(how+", "+line, got, before)
			w.wantNoSighting(got)
			if came := w.upstream.taken() > before; came && (want[0] == "" || w.upstream.last(t).method != want[0] || w.upstream.last(t).target != want[1]) {
				t.Errorf("%s, %s: the upstream got %+v, want %q", how, line, w.upstream.last(t), want)
			} else if !came && want[0] != "" && strings.HasPrefix(target, "/") {
				t.Errorf("%s, %s: got %d %.200q, want it at the upstream", how, line, got.status, got.body)
			}
		}
		for name, trailer := range map[string][]string{
			"a credential":    {"authorization", "Bearer " + smuggled, "x-api-key", smuggled, "cookie", smuggled},
			"a pseudo-header": {":path", "/http/bearer-http/" + smuggled},
			"a length":        {"content-length", "0", "mcp-session-id", smuggled},
		} {
			before := w.upstream.taken()
			got := a.do(a.asked("POST", "/mcp/bearer"), toolCall("lookup_order"), trailer...)
			w.wantNothingSmuggled(how+", in a trailer "+name, got, before)
			w.wantNoSighting(got)
		}
	}
	w.wantNoTrace()
}

// An agent that shows a certificate smuggles nothing over HTTP/1.1 either.
func TestAHostileAgentWithACertificateSmugglesNothing(t *testing.T) {
	t.Parallel()
	w := hostileOver(t, "http", "bearer")
	w.upstream.does(reflection)
	cert := w.certificate(w.domain, "shop", trustdomain.X509Request{})
	reached := 0
	for name, head := range heads() {
		r := request{method: "GET", cert: &cert, head: "GET /http/bearer-http/x HTTP/1.1\r\nHost: " + w.secure + "\r\n" + strings.ReplaceAll(head, "@", smuggled) + "\r\n"}
		before := w.upstream.taken()
		got := w.do(r)
		w.wantNothingSmuggled(name, got, before)
		w.wantNoSighting(got)
		reached += w.upstream.taken() - before
	}
	if reached < len(heads())/2 {
		t.Errorf("%d of %d calls came to the upstream, want more", reached, len(heads()))
	}
	w.wantNoTrace()
}

// An agent over HTTP/2 sees as little of what a hostile upstream says, also of one that
// answers over HTTP/2 itself.
func TestAHostileUpstreamShowsNothingOverHTTP2(t *testing.T) {
	t.Parallel()
	for way, all := range map[string]map[string]attack{"http": attacks(), "h2": spoken()} {
		t.Run(way, func(t *testing.T) {
			w := hostileOver(t, way, "bearer")
			for how, a := range w.agents() {
				for place, does := range all {
					w.wantNothingOf(how+", "+place, does, func() answer { return a.do(a.asked("POST", "/mcp/bearer"), toolCall("lookup_order")) })
					w.wantNothingOf(how+", "+place, does, func() answer { return a.do(a.asked("GET", "/http/bearer-http/x"), "") })
				}
			}
			w.wantNoTrace()
		})
	}
}
