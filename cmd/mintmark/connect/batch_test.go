package connect_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"mintmark/cmd/mintmark/connect"
)

// newBatching is a server of the revision that has batches, which handle answers.
func newBatching(t *testing.T, handle func(f *fake, w http.ResponseWriter, r request)) (*fake, *program) {
	t.Helper()
	var f *fake
	f = newFake(t, func(w http.ResponseWriter, r request) {
		switch {
		case r.method == http.MethodDelete:
		case r.method == http.MethodGet:
			w.WriteHeader(http.StatusMethodNotAllowed)
		case strings.Contains(r.body, `"initialize"`):
			w.Header().Set("Mcp-Session-Id", sessionID)
			inform(w, http.StatusOK, strings.Replace(agreed, "2025-11-25", "2025-03-26", 1))
		default:
			handle(f, w, r)
		}
	})
	c := f.run(connect.Options{})
	c.send(initialize)
	c.want(strings.Replace(agreed, "2025-11-25", "2025-03-26", 1))
	f.next()
	return f, c
}

func calling(id string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":"tools/call","params":{"name":"a"}}`, id)
}

func cancelling(id string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%s}}`, id)
}

// One POST carries a batch as it is, and each answer is a line of its own.
func TestBatch(t *testing.T) {
	refused := func(id string) string {
		return `{"jsonrpc":"2.0","id":` + id + `,"error":{"code":-31403,"message":"no"}}`
	}
	for name, answer := range map[string]func(w http.ResponseWriter){
		"as a batch":         func(w http.ResponseWriter) { inform(w, 200, "["+result(`"b"`)+", "+result("1")+"]") },
		"in events":          func(w http.ResponseWriter) { stream(w, "data: "+result(`"b"`)+"\n\n", "data: "+result("1")+"\n\n") },
		"in one event":       func(w http.ResponseWriter) { stream(w, "data: ["+result(`"b"`)+","+result("1")+"]\n\n") },
		"refused as a whole": func(w http.ResponseWriter) { inform(w, 403, "["+refused(`"b"`)+","+refused("1")+"]") },
	} {
		t.Run(name, func(t *testing.T) {
			f, c := newBatching(t, func(_ *fake, w http.ResponseWriter, _ request) { answer(w) })
			batch := " [" + calling("1") + " ,\t" + `{"jsonrpc":"2.0","method":"notifications/progress","params":{}}` + "," + calling(`"\u0062"`) + "]"
			c.send(batch)
			if r := f.next(); r.method != http.MethodPost || r.body != batch || r.header.Get("Mcp-Session-Id") != sessionID || r.header["Mcp-Protocol-Version"] != nil || r.header["Mcp-Method"] != nil {
				t.Errorf("got %+v, want the line in the session", r)
			}
			if name == "refused as a whole" {
				c.want(refused(`"b"`))
				c.want(refused("1"))
				return
			}
			c.want(result(`"b"`))
			c.want(result("1"))
		})
	}
}

// An answer comes as soon as it is there, and each request that has none is told.
func TestBatchThatIsAnsweredInPart(t *testing.T) {
	free := make(chan struct{})
	_, c := newBatching(t, func(f *fake, w http.ResponseWriter, _ request) {
		stream(w, "data: "+result("2")+"\n\n")
		f.wait(free)
	})
	c.send("[" + calling("1") + "," + calling("2") + "," + calling("3") + "]")
	c.want(result("2"))
	close(free)
	c.wantError(1.0, -31502, "ended before it was whole")
	c.wantError(3.0, -31502, "ended before it was whole")
}

// A call of a batch is called off by itself, by a notification or one in a batch,
// and the exchange ends when nothing in it is waited for.
func TestBatchThatIsCancelled(t *testing.T) {
	f, c := newBatching(t, func(f *fake, w http.ResponseWriter, r request) {
		if strings.Contains(r.body, "tools/call") {
			stream(w, ": open\n\n")
			f.wait(r.gone)
			return
		}
		w.WriteHeader(http.StatusAccepted)
	})
	c.send("[" + calling("1") + "," + calling("2") + "]")
	first := f.next()
	c.send(cancelling("1"))
	if r := f.next(); r.body != cancelling("1") {
		t.Errorf("got %+v, want the server told", r)
	}
	c.send("[" + cancelling("2") + "," + cancelling("7") + "]")
	if r := f.next(); r.body != "["+cancelling("2")+","+cancelling("7")+"]" {
		t.Errorf("got %+v, want the server told", r)
	}
	recv(t, "the end of the exchange", ended(first.gone))
	if err := c.close(); err != nil {
		t.Errorf("end: got %v", err)
	}
	if line, ok := <-c.lines; ok {
		t.Errorf("got %s, want no answer", line)
	}
}

// What may be in a batch besides requests goes as one POST too.
func TestBatchOfNotifications(t *testing.T) {
	f, c := newBatching(t, func(_ *fake, w http.ResponseWriter, _ request) { w.WriteHeader(http.StatusAccepted) })
	c.send("[" + initialized + "]")
	if r := f.next(); r.body != "["+initialized+"]" {
		t.Errorf("got %+v", r)
	}
	if r := f.next(); r.method != http.MethodGet {
		t.Errorf("got %+v, want the server's own stream asked for", r)
	}
	answers := "[" + result("1") + "," + result("2") + "]"
	c.send(answers)
	if r := f.next(); r.body != answers {
		t.Errorf("got %+v, want the answers", r)
	}
}

// Other revisions have no batches. Each request hears of it.
func TestRefusedBatch(t *testing.T) {
	f := newFake(t, withSession(nil))
	c := f.run(connect.Options{})
	refuse := func() {
		t.Helper()
		c.send("[" + calling("1") + "," + initialized + "," + calling(`"b"`) + "]")
		c.wantError(1.0, -32600, "only a session of revision 2025-03-26 has")
		c.wantError("b", -32600, "on a line of its own")
		c.send("[" + initialized + "]")
		c.wantError(nil, -32600, "got a batch")
	}
	refuse() // no session
	c.send(initialize)
	c.want(agreed)
	refuse() // one of another revision
	for line, words := range map[string]string{
		"[]": "at least one message",
		"[" + calling("1") + "," + calling("1") + "]": "once in a batch",
		"[" + calling("1"):                            "valid JSON",
		"[" + initialize + "]":                        "in its own POST",
	} {
		c.send(line)
		if code := -32600; words == "valid JSON" {
			c.wantError(nil, -32700, words)
		} else {
			c.wantError(nil, code, words)
		}
	}
	if r := f.next(); r.body != initialize || len(f.seen) > 0 {
		t.Errorf("got %+v and %d more, want nothing else sent", r, len(f.seen))
	}
}

// A batch has room whole or not at all.
func TestBatchOfTooMany(t *testing.T) {
	f, c := newBatching(t, func(f *fake, _ http.ResponseWriter, r request) { f.wait(r.gone) })
	batch := func(from, n int) string {
		var all []string
		for i := range n {
			all = append(all, calling(fmt.Sprint(from+i)))
		}
		return "[" + strings.Join(all, ",") + "]"
	}
	c.send(batch(1, 100), batch(101, 100), batch(201, 100))
	for i := range 100 {
		c.wantError(float64(201+i), -31429, "256 requests")
	}
	c.send(calling("301"))
	for range 3 {
		f.next()
	}
}
