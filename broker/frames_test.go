package broker_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// framed is one end of a connection of HTTP/2 that is written frame by frame, with
// whatever a library would not write.
type framed struct {
	*http2.Framer
	conn wired
	enc  *hpack.Encoder
	head bytes.Buffer
}

// wired is a connection, as far as it is used here.
type wired interface {
	io.ReadWriteCloser
	SetDeadline(t time.Time) error
}

func newFramed(conn wired, from io.Reader) *framed {
	f := &framed{Framer: http2.NewFramer(conn, from), conn: conn}
	f.AllowIllegalWrites = true
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	f.MaxHeaderListSize = 1 << 20
	f.enc = hpack.NewEncoder(&f.head)
	_ = conn.SetDeadline(time.Now().Add(patience))
	return f
}

// fields are names and values, in turn.
func (f *framed) encoded(fields ...string) []byte {
	f.head.Reset()
	for i := 0; i+1 < len(fields); i += 2 {
		_ = f.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return f.head.Bytes()
}

// headers writes a block of fields, in as many frames as it takes.
func (f *framed) headers(id uint32, last bool, fields ...string) {
	block := f.encoded(fields...)
	first := block[:min(len(block), 16<<10)]
	rest := block[len(first):]
	_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: first, EndStream: last, EndHeaders: len(rest) == 0})
	for len(rest) > 0 {
		next := rest[:min(len(rest), 16<<10)]
		rest = rest[len(next):]
		_ = f.WriteContinuation(id, len(rest) == 0, next)
	}
}

// settle answers what the other end wants of the connection.
func (f *framed) settle(frame http2.Frame) {
	switch frame := frame.(type) {
	case *http2.SettingsFrame:
		if !frame.IsAck() {
			_ = f.WriteSettingsAck()
		}
	case *http2.DataFrame:
		if n := frame.Header().Length; n > 0 {
			_ = f.WriteWindowUpdate(0, n)
			_ = f.WriteWindowUpdate(frame.StreamID, n)
		}
	case *http2.PingFrame:
		if !frame.IsAck() {
			_ = f.WritePing(true, frame.Data)
		}
	}
}

// framing is an upstream of HTTP/2 that answers by frames of its own.
type framing struct {
	world  *world
	answer atomic.Pointer[func(f *framed, id uint32, loot string)]
	greet  atomic.Pointer[func(conn wired)] // a connection, instead of reading it
	got    atomic.Int64
	loot   atomic.Pointer[string] // of the newest request
}

// serve runs it as a server, over TLS, and returns its URL.
func (g *framing) serve(w *world) (url, also string) {
	g.world = w
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, NextProtos: []string{"h2"}}
	s.Config.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){
		"h2": func(_ *http.Server, conn *tls.Conn, _ http.Handler) { g.connection(conn) },
	}
	s.StartTLS()
	w.t.Cleanup(s.Close)
	w.trust(s.Certificate().Raw)
	return s.URL, "ca: upstream.pem, "
}

// connection serves one call, or more where the answer leaves it open.
func (g *framing) connection(conn *tls.Conn) {
	defer conn.Close()
	if greet := g.greet.Load(); greet != nil {
		(*greet)(conn)
		g.leave(conn)
		return
	}
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(conn, preface); err != nil {
		return
	}
	f := newFramed(conn, conn)
	_ = f.WriteSettings()
	if id, r := f.request(); r != nil {
		state := conn.ConnectionState()
		r.TLS = &state
		g.world.upstream.note(r)
		said := loot(r)
		g.loot.Store(&said)
		g.got.Add(int64(len(stolen(r)) + len(proof(r))))
		(*g.answer.Load())(f, id, said)
		g.leave(conn)
	}
}

// leave ends a connection when the other end has read all.
func (g *framing) leave(conn *tls.Conn) {
	_ = conn.CloseWrite()
	_, _ = io.Copy(io.Discard, conn)
}

// request reads one request to its end; nil when none comes.
func (f *framed) request() (uint32, *http.Request) {
	r := &http.Request{Header: http.Header{}, URL: &url.URL{}}
	var text bytes.Buffer
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return 0, nil
		}
		ends := false
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			for _, field := range frame.Fields {
				if field.Name == ":path" {
					r.URL, _ = url.ParseRequestURI(field.Value)
				}
				r.Header.Add(field.Name, field.Value)
			}
			ends = frame.StreamEnded()
		case *http2.DataFrame:
			text.Write(frame.Data())
			ends = frame.StreamEnded()
		default:
			f.settle(frame)
		}
		if ends {
			r.Body = io.NopCloser(&text)
			return frame.Header().StreamID, r
		}
	}
}

// parts cuts a text into what fits into a frame.
func parts(text string, size int) (found []string) {
	for len(text) > size {
		found, text = append(found, text[:size]), text[size:]
	}
	return append(found, text)
}

// spread is a text in many fields of one name.
func spread(name, text string, n int) []string {
	return strings.Split(strings.TrimSuffix(strings.Repeat(name+"\x00"+text+"\x00", n), "\x00"), "\x00")
}
