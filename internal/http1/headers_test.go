package http1_test

import (
	"bufio"
	"io"
	"net/http"
	"testing"
)

// The answers on a connection share the map of their headers. What one says is in no
// other, however it ended.
func TestTheHeadersOfAnAnswerAreNotTheNextOnes(t *testing.T) {
	_, address := start(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/plain":
			return
		case "/no-content":
			w.Header().Set("Content-Length", "7")
			w.WriteHeader(http.StatusNoContent)
		case "/stream":
			w.Header()["Mcp-Session-Id"] = []string{"one", "two"}
			_, _ = io.WriteString(w, "a")
			_ = http.NewResponseController(w).Flush()
			w.Header().Set("Location", "/late")
			_, _ = io.WriteString(w, "b")
		case "/empty":
			w.Header().Set("Etag", "e")
			w.Header()["Date"] = []string{} // none of its own
		default:
			w.Header().Set("Www-Authenticate", "Bearer")
			w.Header().Set("Content-Length", "2")
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, "no")
		}
		w.Header().Set("Retry-After", "1") // and what is set when the head has gone
	})
	paths := []string{"/plain", "/no-content", "/plain", "/stream", "/plain", "/other", "/plain", "/empty", "/plain", "/stream", "/other", "/plain"}
	all := ""
	for _, method := range []string{"GET ", "HEAD "} {
		for _, path := range paths {
			all += method + path + " HTTP/1.1\r\nHost: h\r\n\r\n"
		}
	}
	conn := dial(t, address)
	go func() { _, _ = io.WriteString(conn, all) }()
	in := bufio.NewReader(conn)
	for _, method := range []string{"GET", "HEAD"} {
		for i, path := range paths {
			resp, err := http.ReadResponse(in, &http.Request{Method: method})
			if err != nil {
				t.Fatalf("%s %d %s: %v", method, i, path, err)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				t.Fatalf("%s %d %s: %v", method, i, path, err)
			}
			_ = resp.Body.Close()
			wantHeadersOf(t, path, resp.Header)
		}
	}
}

func wantHeadersOf(t *testing.T, path string, got http.Header) {
	t.Helper()
	of := map[string]string{"Mcp-Session-Id": "/stream", "Etag": "/empty", "Www-Authenticate": "/other", "Location": "no answer"}
	for name := range got {
		if want := of[name]; want != "" && want != path || name == "Retry-After" && path == "/plain" {
			t.Errorf("%s: got the header %s of another answer: %v", path, name, got)
		}
	}
	if path == "/no-content" && got["Content-Length"] != nil {
		t.Errorf("%s: got %v, want no length (RFC 9110, section 8.6)", path, got)
	}
}
