package connect_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"mintmark/cmd/mintmark/connect"
)

const ping = `{"jsonrpc":"2.0","id":1,"method":"ping"}`

// Each message of an answer is one line, and what is in it stays as it was.
func TestAnswersComeAsTheyAre(t *testing.T) {
	const note = `{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"a\nb"}}`
	for name, tt := range map[string]struct {
		answer func(http.ResponseWriter)
		want   []string
	}{
		"JSON": {func(w http.ResponseWriter) {
			inform(w, http.StatusOK, "{\n  \"jsonrpc\": \"2.0\",\r\n  \"id\": 1, \"result\": {\"n\": 1.50e0, \"s\": \"a\\n\\u00e9 é\", \"n\": [ ]}\n}\n")
		}, []string{`{"jsonrpc":"2.0","id":1,"result":{"n":1.50e0,"s":"a\n\u00e9 é","n":[]}}`}},
		"JSON on one line": {func(w http.ResponseWriter) { inform(w, http.StatusOK, ` { "id":1 ,"result" : {}, "jsonrpc":"2.0"} `) },
			[]string{`{ "id":1 ,"result" : {}, "jsonrpc":"2.0"}`}},
		"an error": {func(w http.ResponseWriter) {
			inform(w, http.StatusBadRequest, `{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"no"}}`)
		}, []string{`{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"no"}}`}},
		"events": {func(w http.ResponseWriter) {
			stream(w, "\ufeffdata: "+note+"\n\n", ":\n\n", "data:{\ndata:\"jsonrpc\":\"2.0\",\"id\":1,\ndata: \"result\":{\"s\":\"x\"}}\n\n")
		}, []string{note, `{"jsonrpc":"2.0","id":1,"result":{"s":"x"}}`}},
		"a batch": {func(w http.ResponseWriter) { inform(w, http.StatusOK, "["+note+",\n"+result("1")+"]") }, []string{note, result("1")}},
		"what is no message is left out": {func(w http.ResponseWriter) {
			stream(w, "data: hello\n\ndata: 7\n\ndata: {}\n\ndata: [1]\n\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"\xff\"}\n\ndata: "+result("1")+"\n\n")
		}, []string{result("1")}},
		"an answer to another is left out": {func(w http.ResponseWriter) { stream(w, "data: "+result("2")+"\n\ndata: "+result("1")+"\n\n") }, []string{result("1")}},
		"a second answer is left out":      {func(w http.ResponseWriter) { stream(w, "data: "+result("1.0")+"\n\ndata: "+result("1")+"\n\n") }, []string{result("1.0")}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, func(w http.ResponseWriter, _ request) { tt.answer(w) })
			c := f.run(connect.Options{})
			c.send(ping)
			for _, want := range tt.want {
				c.want(want)
			}
			if err := c.close(); err != nil {
				t.Errorf("end: got %v", err)
			}
			if line, more := <-c.lines; more {
				t.Errorf("got %s, want nothing more", line)
			}
			for line := range strings.Lines(c.stdout.String()) {
				if strings.Trim(line, " \t\n") == "" || !strings.HasSuffix(line, "\n") {
					t.Errorf("got %q, want one message a line", line)
				}
			}
		})
	}
}

// What is no answer becomes one, which says what to do.
func TestWhatIsNoAnswerBecomesAnError(t *testing.T) {
	for name, tt := range map[string]struct {
		answer func(http.ResponseWriter)
		code   int
		words  string
	}{
		"a refusal under no id": {func(w http.ResponseWriter) {
			inform(w, http.StatusUnauthorized, `{"jsonrpc":"2.0","id":null,"error":{"code":-31401,"message":"mintmark: the certificate has expired","data":{"call":"c1"}}}`)
		}, -31401, "the certificate has expired"},
		"a refusal with a reserved code": {func(w http.ResponseWriter) {
			inform(w, http.StatusBadRequest, `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"mintmark: expected less"}}`)
		}, -31400, "expected less"},
		"a revision that is not known": {func(w http.ResponseWriter) {
			inform(w, http.StatusBadRequest, `{"jsonrpc":"2.0","id":null,"error":{"code":-32022,"message":"no","data":{"supported":["2025-11-25"]}}}`)
		}, -32022, "no"},
		"an error under no id within a stream": {func(w http.ResponseWriter) {
			stream(w, `data: {"jsonrpc":"2.0","id":null,"error":{"code":-32603,"message":"broken"}}`+"\n\n")
		}, -31502, "broken"},
		"the upstream's own refusal under no id": {func(w http.ResponseWriter) {
			inform(w, http.StatusBadRequest, `{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"Server not initialized"}}`)
		}, -31400, "mintmark: the server said: Server not initialized"},
		"a page": {func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(http.StatusBadGateway)
			_, _ = io.WriteString(w, "<h1>canary</h1>")
		}, -31502, "502 Bad Gateway"},
		"another path":            {func(w http.ResponseWriter) { w.WriteHeader(http.StatusNotFound) }, -31404, "registered"},
		"too large":               {func(w http.ResponseWriter) { w.WriteHeader(http.StatusRequestEntityTooLarge) }, -31413, "limits.body"},
		"a redirect":              {func(w http.ResponseWriter) { w.Header().Set("Location", "/"); w.WriteHeader(http.StatusFound) }, -31502, "302 Found"},
		"nothing":                 {func(w http.ResponseWriter) { w.WriteHeader(http.StatusAccepted) }, -31502, "202 Accepted without an answer"},
		"another's answer":        {func(w http.ResponseWriter) { inform(w, http.StatusOK, result("7")) }, -31502, "without an answer"},
		"a broken connection":     {func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, -31503, "whether the call was carried out"},
		"an answer that is cut":   {func(w http.ResponseWriter) { w.Header().Set("Content-Length", "99"); inform(w, 200, `{"js`) }, -31502, "whole"},
		"a stream without answer": {func(w http.ResponseWriter) { stream(w, "data: "+result("1")+"\n") }, -31502, "ended before it was whole"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, func(w http.ResponseWriter, _ request) { tt.answer(w) })
			c := f.run(connect.Options{})
			c.send(ping)
			c.wantError(1.0, tt.code, tt.words)
		})
	}
}

// An answer whose connection breaks goes on from its last event.
func TestBrokenAnswerIsResumed(t *testing.T) {
	var tries atomic.Int64
	f := newFake(t, nil)
	f.handle = withSession(func(w http.ResponseWriter, r request) {
		switch last := r.header.Get("Last-Event-Id"); {
		case r.method == http.MethodPost:
			stream(w, "id: a1\nretry: 1\ndata:\n\n")
		case last == "": // the stream of its own
			w.WriteHeader(http.StatusMethodNotAllowed)
		case last == "a1" && tries.Add(1) < 8: // it closes connections on purpose
			stream(w, "retry: 1\n\n")
		case last == "a1":
			stream(w, `data: {"jsonrpc":"2.0","method":"notifications/progress"}`+"\nid: a2\n\n")
			panic(http.ErrAbortHandler)
		default:
			stream(w, "id: a3\ndata: "+result("1")+"\n\n")
		}
	})
	c := f.run(connect.Options{})
	f.begin(c)
	c.send(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"long"}}`)
	c.want(`{"jsonrpc":"2.0","method":"notifications/progress"}`)
	c.want(result("1"))
	r := f.until("the last try", func(r request) bool { return r.header.Get("Last-Event-Id") == "a2" })
	if r.method != http.MethodGet || r.header.Get("Mcp-Session-Id") != sessionID || r.header.Get("Mcp-Protocol-Version") != "2025-11-25" {
		t.Errorf("got %+v, want a GET in the session", r)
	}
}

func TestAnswerThatCanNotBeResumed(t *testing.T) {
	for name, status := range map[string]int{"refused": http.StatusForbidden, "no stream": http.StatusMethodNotAllowed} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, withSession(func(w http.ResponseWriter, r request) {
				if r.method == http.MethodPost {
					stream(w, "id: a1\nretry: 1\ndata:\n\n")
					return
				}
				w.WriteHeader(status)
			}))
			c := f.run(connect.Options{})
			f.begin(c)
			c.send(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"long"}}`)
			c.wantError(1.0, -31000-status)
		})
	}
}

// A slow call holds up nobody, and many at once are served.
func TestCallsRunSideBySide(t *testing.T) {
	var all sync.WaitGroup
	all.Add(40)
	f := newFake(t, func(w http.ResponseWriter, r request) {
		var id int
		_, _ = fmt.Sscanf(r.body, `{"jsonrpc":"2.0","id":%d`, &id)
		all.Done()
		all.Wait() // each is answered only when all are there
		inform(w, http.StatusOK, result(fmt.Sprint(id)))
	})
	c := f.run(connect.Options{})
	want := map[string]bool{}
	for id := range 40 {
		c.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"ping"}`, id))
		want[result(fmt.Sprint(id))] = true
	}
	for range 40 {
		line := c.next()
		if !want[line] {
			t.Errorf("got %s, want one answer to each", line)
		}
		delete(want, line)
	}
}

// What is too much waits, and what is far too much is refused; a cancellation
// still gets through.
func TestTooManyCalls(t *testing.T) {
	f := newFake(t, nil)
	f.handle = func(_ http.ResponseWriter, r request) { f.wait(r.gone) }
	c := f.run(connect.Options{})
	for id := range 256 {
		c.send(modern(fmt.Sprint(id), "tools/list", ""))
	}
	for range 64 {
		f.next()
	}
	c.send(modern("256", "tools/list", ""))
	c.wantError(256.0, -31429, "wait for some")
	if len(f.seen) > 0 {
		t.Errorf("got %d requests at once, want 64", 64+len(f.seen))
	}
	for id := range 256 {
		c.send(fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%d}}`, id))
	}
}
