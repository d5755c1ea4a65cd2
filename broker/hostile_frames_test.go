package broker_test

import (
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2"
)

const okType, okLength = "application/json", "2"

// frames are the places where a server of HTTP/2 can say something, beside those that
// any server can.
func frames() map[string]func(f *framed, id uint32, loot string) {
	ok := func(f *framed, id uint32) {
		f.headers(id, false, ":status", "200", "content-type", okType, "content-length", okLength)
		_ = f.WriteData(id, true, []byte("{}"))
	}
	head := func(fields ...string) func(f *framed, id uint32, loot string) {
		return func(f *framed, id uint32, loot string) {
			said := slices.Clone(fields)
			for i := range said {
				said[i] = strings.ReplaceAll(said[i], "@", loot)
			}
			f.headers(id, true, said...)
		}
	}
	// before and after what is an ordinary answer.
	before := func(say func(f *framed, id uint32, loot string)) func(f *framed, id uint32, loot string) {
		return func(f *framed, id uint32, loot string) { say(f, id, loot); ok(f, id) }
	}
	within := func(say func(f *framed, id uint32, loot string)) func(f *framed, id uint32, loot string) {
		return func(f *framed, id uint32, loot string) {
			f.headers(id, false, ":status", "200", "content-type", okType)
			_ = f.WriteData(id, false, []byte(`{"jsonrpc":"2.0",`))
			say(f, id, loot)
		}
	}
	raw := func(kind http2.FrameType, stream uint32) func(f *framed, id uint32, loot string) {
		return func(f *framed, id uint32, loot string) { _ = f.WriteRawFrame(kind, 0, stream*id, []byte(loot)) }
	}
	m := map[string]func(f *framed, id uint32, loot string){
		"status":               head(":status", "@"),
		"status and phrase":    head(":status", "200 @"),
		"no status":            head("x-a", "@"),
		"two statuses":         head(":status", "200", ":status", "@"),
		"late pseudo-header":   head(":status", "200", "x-a", "a", ":status", "@"),
		"pseudo-header":        head(":status", "200", ":reason", "@"),
		"pseudo-header's name": head(":status", "200", ":@", "1"),
		"a request's":          head(":status", "200", ":path", "/@", ":authority", "@"),
		"header name":          head(":status", "200", "x-@", "1"),
		"upper case":           head(":status", "200", "X-A", "@"),
		"empty name":           head(":status", "200", "", "@"),
		"CR LF in a value":     head(":status", "200", "etag", "a\r\nSet-Cookie: @", "location", "/\r\n\r\n@"),
		"LF in a value":        head(":status", "200", "etag", "a\nx-a: @"),
		"CR in a value":        head(":status", "200", "etag", "a\rx-a: @"),
		"NUL in a value":       head(":status", "200", "etag", "a\x00@"),
		"CR LF in a name":      head(":status", "200", "etag: a\r\nx-a: @\r\nx-b", "1"),
		"colon in a name":      head(":status", "200", "etag: @", "1"),
		"beyond ASCII":         head(":status", "200", "etag", "\xff@", "x-\xff", "@"),
		"connection":           head(":status", "200", "connection", "@", "keep-alive", "@", "transfer-encoding", "@", "upgrade", "@"),
		"length":               head(":status", "200", "content-length", "@"),
		"coding":               head(":status", "200", "content-encoding", "@"),
		"switch":               head(":status", "101", "upgrade", "@"),
		"no content":           head(":status", "204", "etag", "@"),
		"early hints": before(func(f *framed, id uint32, loot string) {
			f.headers(id, false, ":status", "103", "link", loot, "x-a", loot)
		}),
		"go on": before(func(f *framed, id uint32, loot string) { f.headers(id, false, ":status", "100", "etag", loot) }),
		"processing": before(func(f *framed, id uint32, loot string) {
			f.headers(id, false, ":status", "102", "www-authenticate", loot)
		}),
		"interim with an end": func(f *framed, id uint32, loot string) { f.headers(id, true, ":status", "103", "link", loot) },
		"only interim":        func(f *framed, id uint32, loot string) { f.headers(id, false, ":status", "103", "link", loot) },
		"many interim":        before(func(f *framed, id uint32, loot string) { interim(f, id, loot, 40) }),
		"large header": func(f *framed, id uint32, loot string) {
			f.headers(id, true, ":status", "200", "etag", repeat("x", 70<<10)+loot)
		},
		"many headers": func(f *framed, id uint32, loot string) {
			f.headers(id, true, append([]string{":status", "200"}, spread("etag", loot, 30)...)...)
		},
		"more headers": func(f *framed, id uint32, loot string) {
			f.headers(id, true, append([]string{":status", "200"}, spread("x-a", loot, 400)...)...)
		},
		"headers without end": headersWithoutEnd,
		"no HPACK": func(f *framed, id uint32, loot string) {
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: []byte("\xff\xff\xff\xff\xff" + loot), EndHeaders: true})
		},
		"a continuation alone": func(f *framed, id uint32, loot string) {
			_ = f.WriteContinuation(id, true, []byte(loot[:min(len(loot), 16000)]))
		},
		"trailer":               within(func(f *framed, id uint32, loot string) { f.headers(id, true, "etag", loot, "x-a", loot) }),
		"trailer with a status": within(func(f *framed, id uint32, loot string) { f.headers(id, true, ":status", loot) }),
		"trailer's name":        within(func(f *framed, id uint32, loot string) { f.headers(id, true, "x-"+loot, "1") }),
		"trailer without end":   within(func(f *framed, id uint32, loot string) { f.headers(id, false, "etag", loot) }),
		"large trailer":         within(func(f *framed, id uint32, loot string) { f.headers(id, true, "etag", repeat("x", 70<<10)+loot) }),
		"data first":            func(f *framed, id uint32, loot string) { said(f, id, false, loot); ok(f, id) },
		"data":                  within(func(f *framed, id uint32, loot string) { said(f, id, true, loot) }),
		"data byte by byte": within(func(f *framed, id uint32, loot string) {
			for _, c := range []byte(loot) {
				_ = f.WriteData(id, false, []byte{c})
			}
		}),
		"data after the end": func(f *framed, id uint32, loot string) { ok(f, id); said(f, id, true, loot) },
		"headers after the end": func(f *framed, id uint32, loot string) {
			ok(f, id)
			f.headers(id, true, ":status", "200", "etag", loot)
		},
		"data of no stream": within(func(f *framed, _ uint32, loot string) { said(f, 0, false, loot) }),
		"data of another":   within(func(f *framed, id uint32, loot string) { said(f, id+2, false, loot) }),
		"padding": within(func(f *framed, id uint32, loot string) {
			_ = f.WriteDataPadded(id, true, []byte("}"), []byte(loot[:min(255, len(loot))]))
		}),
		"more than its length": func(f *framed, id uint32, loot string) {
			f.headers(id, false, ":status", "200", "content-length", "2")
			said(f, id, true, loot)
		},
		"less than its length": func(f *framed, id uint32, loot string) {
			f.headers(id, false, ":status", "200", "content-length", "100000")
			said(f, id, true, loot)
		},
		"a reset": func(f *framed, id uint32, _ string) { _ = f.WriteRSTStream(id, http2.ErrCodeRefusedStream) },
		"a reset within": within(func(f *framed, id uint32, loot string) {
			said(f, id, false, loot)
			_ = f.WriteRSTStream(id, http2.ErrCodeInternal)
		}),
		"a reset of any code": within(func(f *framed, id uint32, loot string) {
			_ = f.WriteRawFrame(http2.FrameRSTStream, 0, id, []byte(loot[:4]))
		}),
		"a reset too long":     within(raw(http2.FrameRSTStream, 1)),
		"going away":           func(f *framed, id uint32, loot string) { away(f, id, loot) },
		"going away before":    func(f *framed, _ uint32, loot string) { away(f, 0, loot) },
		"going away within":    within(func(f *framed, id uint32, loot string) { away(f, id, loot) }),
		"going away, refusing": within(func(f *framed, _ uint32, loot string) { away(f, 0, loot) }),
		"going away in peace": before(func(f *framed, id uint32, loot string) {
			_ = f.WriteGoAway(id, http2.ErrCodeNo, []byte(loot[:min(len(loot), 16000)]))
		}),
		"a push": before(func(f *framed, id uint32, loot string) {
			_ = f.WritePushPromise(http2.PushPromiseParam{StreamID: id, PromiseID: 2, BlockFragment: f.encoded(":path", loot), EndHeaders: true})
		}),
		"a ping":               before(raw(http2.FramePing, 0)),
		"settings":             before(raw(http2.FrameSettings, 0)),
		"a window":             before(raw(http2.FrameWindowUpdate, 1)),
		"a priority":           before(raw(http2.FramePriority, 1)),
		"an unknown frame":     before(raw(0xbe, 1)),
		"alternative services": before(raw(0xa, 0)),
		"a frame that is long": within(func(f *framed, id uint32, loot string) {
			_ = f.WriteRawFrame(http2.FrameData, 0, id, []byte(repeat(loot, 40)))
		}),
		"no frame": within(func(f *framed, _ uint32, loot string) { _, _ = io.WriteString(f.conn, loot) }),
		"an answer of HTTP/1.1": func(f *framed, _ uint32, loot string) {
			_, _ = io.WriteString(f.conn, "HTTP/1.1 200 "+loot+"\r\nX-A: "+loot+"\r\n\r\n"+loot)
		},
		"the end within": within(func(*framed, uint32, string) {}),
	}
	return m
}

func interim(f *framed, id uint32, loot string, n int) {
	for range n {
		f.headers(id, false, ":status", "103", "link", loot)
	}
}

func headersWithoutEnd(f *framed, id uint32, loot string) {
	_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: f.encoded(":status", "200", "etag", loot)})
	for range 40 {
		if f.WriteContinuation(id, false, f.encoded("x-a", loot)) != nil {
			return
		}
	}
}

// said sends a text as data.
func said(f *framed, id uint32, last bool, text string) {
	all := parts(text, 16000)
	for i, one := range all {
		_ = f.WriteData(id, last && i == len(all)-1, []byte(one))
	}
}

func away(f *framed, id uint32, loot string) {
	_ = f.WriteGoAway(id, http2.ErrCodeEnhanceYourCalm, []byte(loot[:min(len(loot), 16000)]))
}

// Whatever frames an upstream answers by, nothing of what was injected comes through.
func TestAHostileUpstreamsFramesShowNothing(t *testing.T) {
	t.Parallel()
	g := &framing{}
	w := open(t, func(s *setup) {
		s.Policy = `permit (principal == Agent::"spiffe://example.org/agent/shop", action in [Action::"http", Action::"tools/call"], resource);`
	})
	url, also := g.serve(w)
	w.registerShapes(url, also, "bearer", "mtls")
	tried := 0
	for place, answer := range frames() {
		g.answer.Store(&answer)
		for _, name := range []string{"bearer", "mtls"} {
			for how, call := range w.approaches(name) {
				if how == "list" || how == "newer" || name == "mtls" && how == "stream" {
					continue
				}
				before := g.got.Load()
				got := w.do(call)
				for again := 0; g.got.Load() == before && again < 5; again++ {
					got = w.do(call)
				}
				if g.got.Load() == before {
					t.Errorf("the upstream got no credential; the answer was %d %.200q %v", got.status, got.body, got.err)
				}
				if w.wantNoSighting(got); t.Failed() {
					t.Fatalf("%s by %s of %s: got %d %.300q", place, how, name, got.status, got.body)
				}
				tried++
			}
		}
	}
	w.wantNoTrace()
	t.Logf("%d answers of %d kinds: %v", tried, len(frames()), slices.Sorted(maps.Keys(frames())))
}
