package http1_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"

	"mintmark/internal/http1"
)

// start serves handler on a port of its own, and ends it with the test.
func start(t *testing.T, handler http.HandlerFunc, changes ...func(*http1.Server)) (*http1.Server, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http1.Server{Handler: handler, HeadTime: time.Minute, Idle: time.Minute, MaxHead: 8 << 10, MaxConns: 100}
	for _, change := range changes {
		change(s)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		_ = s.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve: got %v, want the end of the server", err)
		}
		if err := s.Shutdown(context.Background()); err != nil {
			t.Errorf("shutdown: %v", err)
		}
	})
	return s, l.Addr().String()
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	return conn
}

// echo answers with what it was asked, in text.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	_, _ = fmt.Fprintf(w, "%s %s host=%s length=%d body=%q x=%q err=%v", r.Method, r.URL, r.Host, r.ContentLength, body, r.Header["X"], err)
}

// raw writes text to a new connection and returns everything that comes until the
// server ends it.
func raw(t *testing.T, address, text string) string {
	t.Helper()
	conn := dial(t, address)
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(conn)
	if err != nil {
		t.Fatalf("read the answer to its end: %v after %q", err, all)
	}
	return string(all)
}

const end = "Connection: close\r\n"

func TestRequestsThatAreRead(t *testing.T) {
	_, address := start(t, echo)
	for _, test := range []struct{ name, request, want string }{
		{"nothing to read", "GET /a?b=c HTTP/1.1\r\nHost: h\r\n" + end + "\r\n", `GET /a?b=c host=h length=0 body="" x=[] err=<nil>`},
		{"a length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n" + end + "\r\nok", `POST / host=h length=2 body="ok" x=[] err=<nil>`},
		{"chunks", "POST / HTTP/1.1\r\nhost: h\r\nTransfer-Encoding: chunked\r\n" + end + "\r\n1;a=b\r\no\r\n1\r\nk\r\n0\r\nT: r\r\n\r\n", `POST / host=h length=-1 body="ok" x=[] err=<nil>`},
		{"values", "GET / HTTP/1.1\r\nHost: h\r\nX: a\r\nx:\t b \r\n" + end + "\r\n", `GET / host=h length=0 body="" x=["a" "b"] err=<nil>`},
		{"a URL", "GET http://other/a HTTP/1.1\r\nHost: h\r\n" + end + "\r\n", `GET http://other/a host=other length=0 body="" x=[] err=<nil>`},
		{"HTTP/1.0", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", `GET / host= length=0 body="" x=[] err=<nil>`},
		{"two in one", "POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nokGET /2 HTTP/1.1\r\nHost: h\r\n" + end + "\r\n", `GET /2 host=h length=0 body="" x=[] err=<nil>`},
		{"an expectation", "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n" + end + "\r\nok", `POST / host=h length=2 body="ok" x=[] err=<nil>`},
		{"a short body", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n" + end + "\r\n2\r\nokno\r\n", `POST / host=h length=-1 body="ok" x=[] err=expected the end of a chunk`},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := raw(t, address, test.request); !strings.Contains(got, "HTTP/1.1 200 OK\r\n") || !strings.HasSuffix(got, test.want) {
				t.Errorf("got %q, want 200 and %q", got, test.want)
			}
		})
	}
}

// Each name is as net/textproto has it, also those that are known without it.
func TestNamesAreCanonical(t *testing.T) {
	names := make(chan []string, 1)
	_, address := start(t, func(_ http.ResponseWriter, r *http.Request) { names <- slices.Sorted(maps.Keys(r.Header)) })
	for _, name := range []string{"traceparent", "Mcp-Protocol-Version", "Mcp-Session-Id", "Mcp-Method", "Mcp-Name", "Accept", "x-other"} {
		for _, sent := range []string{name, strings.ToLower(name), strings.ToUpper(name), strings.Replace(name, "Mcp", "MCP", 1)} {
			raw(t, address, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"+sent+": v\r\n\r\n")
			want := []string{textproto.CanonicalMIMEHeaderKey(sent), "Connection"}
			slices.Sort(want)
			if got := <-names; !slices.Equal(got, want) {
				t.Errorf("%s: got %q, want %q", sent, got, want)
			}
		}
	}
}

// A request that is read in two ways is answered once, and nothing after it is read:
// it would be a request to one of them.
func TestRequestsThatAreReadInTwoWaysAreRefused(t *testing.T) {
	_, address := start(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/smuggled" {
			t.Errorf("a request came that was hidden in another")
		}
		echo(w, r)
	})
	const smuggled = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
	for _, test := range []struct {
		name, request string
		status        string
	}{
		{"no HTTP", "SSH-2.0-x\r\n\r\n", "400"},
		{"HTTP/0.9", "GET /\r\n\r\n", "400"},
		{"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505"},
		{"HTTP/1.2", "GET / HTTP/1.2\r\nHost: h\r\n\r\n", "505"},
		{"two spaces", "GET  / HTTP/1.1\r\nHost: h\r\n\r\n", "400"},
		{"a tab for a space", "GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n", "400"},
		{"a space at the end", "GET / HTTP/1.1 \r\nHost: h\r\n\r\n", "505"},
		{"a target with a space", "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", "505"},
		{"a target beyond ASCII", "GET /\xe4 HTTP/1.1\r\nHost: h\r\n\r\n", "400"},
		{"a target that is none", "GET a HTTP/1.1\r\nHost: h\r\n\r\n", "400"},
		{"a bad escape", "GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n", "400"},
		{"a method that is none", "G(T / HTTP/1.1\r\nHost: h\r\n\r\n", "400"},
		{"no host", "GET / HTTP/1.1\r\n\r\n", "400"},
		{"two hosts", "GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", "400"},
		{"a host with a space", "GET / HTTP/1.1\r\nHost: h other\r\n\r\n", "400"},
		{"length and chunks", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled, "400"},
		{"chunks and length", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + smuggled, "400"},
		{"two lengths", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nContent-Length: 37\r\n\r\n" + smuggled, "400"},
		{"one length twice", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n" + smuggled, "400"},
		{"a list of lengths", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0, 0\r\n\r\n" + smuggled, "400"},
		{"a length with a sign", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +0\r\n\r\n" + smuggled, "400"},
		{"a length in hex", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x0\r\n\r\n" + smuggled, "400"},
		{"an empty length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\n" + smuggled, "400"},
		{"a huge length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551616\r\n\r\n" + smuggled, "400"},
		{"another coding", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + smuggled, "501"},
		{"a coding with a space", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + smuggled, "400"},
		{"a coding on a line that goes on", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + smuggled, "400"},
		{"a coding with a vertical tab", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + smuggled, "400"},
		{"a coding in quotes", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n" + smuggled, "501"},
		{"two codings", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + smuggled, "501"},
		{"codings in two lines", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + smuggled, "400"},
		{"chunks in HTTP/1.0", "POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled, "501"},
		{"bare LF", "GET / HTTP/1.1\nHost: h\n\n" + smuggled, "400"},
		{"a bare LF in a value", "GET / HTTP/1.1\r\nHost: h\r\nX: a\nContent-Length: 37\r\n\r\n" + smuggled, "400"},
		{"a bare CR in a value", "GET / HTTP/1.1\r\nHost: h\r\nX: a\rContent-Length: 37\r\n\r\n" + smuggled, "400"},
		{"NUL", "GET / HTTP/1.1\r\nHost: h\r\nX: a\x00b\r\n\r\n" + smuggled, "400"},
		{"a line that goes on", "GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n" + smuggled, "400"},
		{"a first line that goes on", "GET / HTTP/1.1\r\n X: a\r\nHost: h\r\n\r\n" + smuggled, "400"},
		{"no colon", "GET / HTTP/1.1\r\nHost: h\r\nX\r\n\r\n" + smuggled, "400"},
		{"no name", "GET / HTTP/1.1\r\nHost: h\r\n: a\r\n\r\n" + smuggled, "400"},
		{"an empty line first", "\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n" + smuggled, "400"},
		{"another expectation", "POST / HTTP/1.1\r\nHost: h\r\nExpect: a-lot\r\nContent-Length: 37\r\n\r\n" + smuggled, "417"},
		{"a long head", "GET / HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("a", 20<<10) + "\r\n\r\n" + smuggled, "431"},
		{"many headers", "GET / HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("X: a\r\n", 4<<10) + "\r\n" + smuggled, "431"},
		{"a long target", "GET /" + strings.Repeat("a", 20<<10) + " HTTP/1.1\r\nHost: h\r\n\r\n" + smuggled, "431"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := raw(t, address, test.request)
			if !strings.HasPrefix(got, "HTTP/1.1 "+test.status+" ") || !strings.Contains(got, "\r\nConnection: close\r\n") {
				t.Errorf("got %q, want %s and the end of the connection", got, test.status)
			}
			if strings.Count(got, "HTTP/1.1 ") > 1+strings.Count(got, "expected HTTP/1.1")+strings.Count(got, "that in HTTP/1.1") {
				t.Errorf("got %q, want one answer", got)
			}
		})
	}
}

// After a body that is wrong nothing is read: nobody knows where it ends.
func TestNothingIsReadAfterABodyThatIsWrong(t *testing.T) {
	_, address := start(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/smuggled" {
			t.Errorf("a request came that was hidden in another")
		}
		echo(w, r)
	})
	for _, chunks := range []string{
		"2\r\nokGET", "2\nok\r\n0\r\n\r\n", "0x2\r\nok\r\n0\r\n\r\n", "-1\r\n", "ffffffffffffffffff\r\n", "\r\n", "2 \t\r;\r\nok\r\n0\r\n\r\n", "0\r\nX\r\n\r\n", "0\nGET",
	} {
		got := raw(t, address, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"+chunks+"\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n")
		if strings.Count(got, "HTTP/1.1 ") != 1 || !strings.Contains(got, "err=expected") || !strings.Contains(got, "\r\nConnection: close\r\n") {
			t.Errorf("%q: got %q, want one answer, with the error, and the end of the connection", chunks, got)
		}
	}
}

// What a handler leaves of a body is not the next request.
func TestABodyThatIsNotReadEndsTheConnection(t *testing.T) {
	_, address := start(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/smuggled" {
			t.Errorf("a request came that was hidden in another")
		}
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, "no")
	})
	got := raw(t, address, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 403 ") || !strings.HasSuffix(got, "\r\n\r\nno") || !strings.Contains(got, end) {
		t.Errorf("got %q", got)
	}
}

// The forms that answers take, each as net/http's client reads it, and whether the
// connection goes on.
func TestAnswersThatAreWritten(t *testing.T) {
	long := strings.Repeat("0123456789", 10_000)
	for _, test := range []struct {
		name, method string
		answer       http.HandlerFunc
		status       int
		body         string
		length       int64
		kept         bool
	}{
		{"nothing said", "GET", func(http.ResponseWriter, *http.Request) {}, 200, "", 0, true},
		{"a short body", "GET", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }, 200, "ok", 2, true},
		{"a long body", "GET", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, long) }, 200, long, -1, true},
		{"a long body in pieces", "GET", func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(long); i += 100 {
				_, _ = io.WriteString(w, long[i:i+100])
			}
		}, 200, long, -1, true},
		{"a long body of a stated length", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(long)))
			_, _ = io.WriteString(w, long)
		}, 200, long, int64(len(long)), true},
		{"a stream", "POST", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			for range 3 {
				_, _ = io.WriteString(w, "data: x\n\n")
				_ = http.NewResponseController(w).Flush()
			}
		}, 200, "data: x\n\ndata: x\n\ndata: x\n\n", -1, true},
		{"HEAD", "HEAD", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "99")
			_, _ = io.WriteString(w, "not sent")
		}, 200, "", 99, true},
		{"204", "DELETE", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9")
			w.WriteHeader(http.StatusNoContent)
		}, 204, "", 0, true},
		{"304", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9")
			w.WriteHeader(http.StatusNotModified)
		}, 304, "", 0, true},
		{"the end is asked for", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Connection", "close")
			_, _ = io.WriteString(w, "ok")
		}, 200, "ok", 2, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			conns := map[string]bool{}
			_, address := start(t, func(w http.ResponseWriter, r *http.Request) {
				conns[r.RemoteAddr] = true
				test.answer(w, r)
			})
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for range 2 {
				req, err := http.NewRequestWithContext(t.Context(), test.method, "http://"+address, nil)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if err != nil || resp.StatusCode != test.status || string(body) != test.body || resp.ContentLength != test.length {
					t.Fatalf("got %d, %d bytes of length %d, %v", resp.StatusCode, len(body), resp.ContentLength, err)
				}
				if date := resp.Header["Date"]; len(date) != 1 {
					t.Errorf("Date: got %q, want one", date)
				}
			}
			if kept := len(conns) == 1; kept != test.kept {
				t.Errorf("got %d connections, want kept %t", len(conns), test.kept)
			}
		})
	}
}

// An answer that is not whole must not look so.
func TestAnAnswerThatIsCutShort(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"fewer bytes than stated": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9")
			_, _ = io.WriteString(w, "abc")
		},
		"a stream": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "abc")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, address := start(t, answer)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return // as good
			}
			defer resp.Body.Close()
			if body, err := io.ReadAll(resp.Body); err == nil {
				t.Errorf("got %q as a whole answer", body)
			}
		})
	}
}

// More than the stated length is the next answer to some.
func TestNoMoreThanTheStatedLengthIsWritten(t *testing.T) {
	_, address := start(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "2")
		_, _ = io.WriteString(w, "ok")
		if _, err := io.WriteString(w, "HTTP/1.1 200 OK\r\n\r\n"); !errors.Is(err, http.ErrContentLength) {
			t.Errorf("got %v, want http.ErrContentLength", err)
		}
	})
	if got := raw(t, address, "GET / HTTP/1.1\r\nHost: h\r\n"+end+"\r\n"); !strings.HasSuffix(got, "\r\n\r\nok") {
		t.Errorf("got %q", got)
	}
}

// A header can't begin a line, whatever a handler puts into it.
func TestAHeaderIsOneLine(t *testing.T) {
	_, address := start(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["X"] = []string{"a\r\nSet-Cookie: b", "a\nb", "a\x00b"}
		w.Header()["Y: Z\r\nA"] = []string{"a"}
		w.Header()["Transfer-Encoding"] = []string{"identity"}
	})
	got := raw(t, address, "GET / HTTP/1.1\r\nHost: h\r\n"+end+"\r\n")
	if !strings.Contains(got, "X: a  Set-Cookie: b\r\nX: a b\r\nX: a b\r\n") || strings.Contains(got, "Y:") || strings.Contains(got, "identity") {
		t.Errorf("got %q", got)
	}
}

// The context of a request ends when its client leaves.
func TestARequestEndsWithItsClient(t *testing.T) {
	for name, answer := range map[string]func(http.ResponseWriter){
		"before the answer": func(http.ResponseWriter) {},
		"in a stream": func(w http.ResponseWriter) {
			_, _ = io.WriteString(w, "data: x\n\n")
			_ = http.NewResponseController(w).Flush()
		},
	} {
		t.Run(name, func(t *testing.T) {
			began, ended := make(chan struct{}), make(chan struct{})
			_, address := start(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.ReadAll(r.Body)
				answer(w)
				close(began)
				<-r.Context().Done()
				close(ended)
			})
			conn := dial(t, address)
			_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nok")
			<-began
			_ = conn.Close()
			select {
			case <-ended:
			case <-time.After(time.Minute):
				t.Error("the request goes on without its client")
			}
		})
	}
}

// A client that begins its next request and leaves has left.
func TestARequestEndsWithAClientThatSaidMore(t *testing.T) {
	began, ended := make(chan struct{}), make(chan struct{})
	_, address := start(t, func(_ http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
		close(ended)
	})
	conn := dial(t, address)
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	<-began
	_, _ = io.WriteString(conn, "GET /next HTTP/1.1\r\n")
	_ = conn.Close()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the request goes on without its client")
	}
}

// A long request doesn't lose what its client says meanwhile.
func TestTheNextRequestMayComeEarly(t *testing.T) {
	began, goOn := make(chan struct{}), make(chan struct{})
	_, address := start(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/1" {
			close(began)
			<-goOn
		}
		_, _ = io.WriteString(w, r.URL.Path)
	})
	conn := dial(t, address)
	_, _ = io.WriteString(conn, "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n")
	<-began
	time.AfterFunc(50*time.Millisecond, func() { // by then it is being listened to
		_, _ = io.WriteString(conn, "GET /2 HTTP/1.1\r\nHost: h\r\n\r\n")
		close(goOn)
	})
	in := bufio.NewReader(conn)
	for _, want := range []string{"/1", "/2"} {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(resp.Body); err != nil || string(got) != want {
			t.Errorf("got %q %v, want %q", got, err, want)
		}
		_ = resp.Body.Close()
	}
}

// A connection ends in time on which nothing comes, or a head that dribbles in, or no
// other request.
func TestTimeIsLimited(t *testing.T) {
	const short = 1200 * time.Millisecond
	for _, test := range []struct {
		begun, want string
		head, idle  time.Duration
	}{
		{"", "", short, time.Minute},
		{"GET / HTTP/1.1\r\nHost:", "", short, time.Minute},
		{"GET / HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200 OK\r\n", time.Minute, short},
	} {
		_, address := start(t, echo, func(s *http1.Server) { s.HeadTime, s.Idle = test.head, test.idle })
		if got := raw(t, address, test.begun); (got == "") != (test.want == "") || !strings.HasPrefix(got, test.want) {
			t.Errorf("%q: got %q, want %q and the end", test.begun, got, test.want)
		}
	}
}

// The time for the writes of an answer is not that of the next one on its connection.
func TestTheTimeOfAnAnswerEndsWithIt(t *testing.T) {
	_, address := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "2")
		_, _ = io.WriteString(w, r.URL.Path)
		control := http.NewResponseController(w)
		if err := control.Flush(); err != nil {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		if err := control.SetWriteDeadline(time.Unix(1, 0)); err != nil {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
	})
	conn := dial(t, address)
	in := bufio.NewReader(conn)
	for _, path := range []string{"/1", "/2"} {
		_, _ = io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: h\r\n\r\n")
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if got, err := io.ReadAll(resp.Body); err != nil || string(got) != path {
			t.Errorf("got %q %v, want %q", got, err, path)
		}
		_ = resp.Body.Close()
	}
}

// Shutdown lets a request end and takes no other.
func TestShutdown(t *testing.T) {
	began, goOn := make(chan struct{}), make(chan struct{})
	s, address := start(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			t.Errorf("%s is served", r.URL.Path)
			return
		}
		close(began)
		<-goOn
		_, _ = io.WriteString(w, "ok")
	})
	idle, busy := dial(t, address), dial(t, address)
	_, _ = io.WriteString(busy, "GET / HTTP/1.1\r\nHost: h\r\n\r\nGET /after HTTP/1.1\r\nHost: h\r\n\r\n")
	<-began
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v under a request, want the end of its time", err)
	}
	if _, err := idle.Read(make([]byte, 1)); err == nil {
		t.Error("an idle connection goes on")
	}
	if conn, err := net.Dial("tcp", address); err == nil {
		_ = conn.Close()
		t.Error("a connection was accepted")
	}
	close(goOn)
	if all, err := io.ReadAll(busy); err != nil || !strings.HasSuffix(string(all), "ok") || !strings.Contains(string(all), end) {
		t.Errorf("got %q %v, want an answer that says it is the last, and then the end", all, err)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Errorf("got %v, want all ended", err)
	}
}

// A connection past the limit waits until another ends.
func TestConnectionsAreLimited(t *testing.T) {
	_, address := start(t, echo, func(s *http1.Server) { s.MaxConns = 1 })
	first := dial(t, address)
	_, _ = io.WriteString(first, "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n")
	if _, err := first.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	second := dial(t, address) // the system holds it
	_, _ = io.WriteString(second, "GET /2 HTTP/1.1\r\nHost: h\r\n"+end+"\r\n")
	_ = second.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := second.Read(make([]byte, 1)); err == nil {
		t.Fatalf("got %d bytes while the other goes on", n)
	}
	_ = second.SetReadDeadline(time.Now().Add(time.Minute))
	_ = first.Close()
	if all, err := io.ReadAll(second); err != nil || !strings.Contains(string(all), "GET /2") {
		t.Errorf("got %q %v", all, err)
	}
}

// Over TLS a client has the revision of HTTP that it asks for first.
func TestTLS(t *testing.T) {
	template := httptest.NewUnstartedServer(nil)
	template.StartTLS() // for its certificate
	defer template.Close()
	config := &tls.Config{Certificates: template.TLS.Certificates, MinVersion: tls.VersionTLS13, NextProtos: []string{"h2", "http/1.1"}}
	s, address := start(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s tls=%t", r.Proto, r.TLS != nil && r.TLS.HandshakeComplete)
	}, func(s *http1.Server) { s.TLS, s.MaxConns = config, 2 })
	roots := template.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	for _, h2 := range []bool{false, true} {
		want := map[bool]string{false: "HTTP/1.1 tls=true", true: "HTTP/2.0 tls=true"}[h2]
		for range 4 { // more than may be open at once
			transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "example.com", MinVersion: tls.VersionTLS13}, ForceAttemptHTTP2: h2}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+address, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := (&http.Client{Transport: transport}).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err != nil || string(body) != want {
				t.Errorf("got %q %v, want %q", body, err, want)
			}
			transport.CloseIdleConnections()
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/mcp/orders", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("without TLS: %v", err)
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), "call https://") {
		t.Errorf("without TLS: got %s %q %v, want to be told to use it", resp.Status, body, err)
	}
	conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: roots, ServerName: "example.com", MinVersion: tls.VersionTLS13})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := s.Shutdown(t.Context()); err != nil {
		t.Errorf("shutdown: %v", err)
	}
}
