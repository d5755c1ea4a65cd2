package broker_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// An answer that is full of what a credential begins with comes at its pace, however
// much of it is right: the time that the search takes tells no agent whether to go on.
func TestAnAnswerFullOfGuessesHasItsPace(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.wantOK(w.call(), "result")
	const pace = 2 * time.Microsecond
	guesses := strings.Repeat(w.issuer.last()[:12]+" ", 2000)
	result := `{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"` + guesses + `"}]}}`
	list := `{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"lookup_order","description":"` + guesses + `","inputSchema":{"type":"object"}}]}}`
	for name, c := range map[string]struct {
		kind, text string
		call       request
	}{
		"JSON":            {"application/json", result, w.call()},
		"events":          {"text/event-stream", "data: " + result + "\n\n", w.call()},
		"a list":          {"application/json", list, w.call(body(question("tools/list")))},
		"a list's events": {"text/event-stream", "data: " + list + "\n\n", w.call(body(question("tools/list")))},
	} {
		w.upstream.does(func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", c.kind)
			_, _ = io.WriteString(rw, c.text)
		})
		began := time.Now()
		w.wantOK(c.call, guesses[:60])
		if took, least := time.Since(began), time.Duration(len(guesses))*pace; took < least {
			t.Errorf("%s: came after %v, its pace is %v", name, took, least)
		}
	}
}

// So does one that the broker reads message by message.
func TestABridgedAnswerFullOfGuessesHasItsPace(t *testing.T) {
	t.Parallel()
	const count = 10000
	w := scriptedServer(t, func(rw http.ResponseWriter, r *http.Request) {
		begins := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")[:12]
		says(200, "application/json", `{"jsonrpc":"2.0","id":0,"result":{"content":[{"type":"text","text":"`+strings.Repeat(begins+" ", count)+`"}]}}`)(rw, r)
	})
	began := time.Now()
	w.wantOK(w.lookup(0), "access-token access-token")
	if took, least := time.Since(began), time.Duration(count*len("access-token "))*2*time.Microsecond; took < least {
		t.Errorf("came after %v, its pace is %v", took, least)
	}
}

// So does a failure whose text, which is for the log, quotes what the upstream said: the
// agent sees when its call fails.
func TestAnErrorFullOfGuessesHasItsPace(t *testing.T) {
	t.Parallel()
	const length = 40 << 10
	w := hostileOver(t, "https", "bearer")
	w.upstream.does(func(rw http.ResponseWriter, r *http.Request) {
		token := bearerOf(r)
		raw(strings.Repeat(token[:len(token)-4]+".", length)[:length]+"\r\n\r\n")(rw, r)
	})
	began := time.Now()
	got := w.do(w.call(get("/http/bearer-http/x")))
	if took, least := time.Since(began), length*2*time.Microsecond; got.status != http.StatusBadGateway || took < least {
		t.Errorf("got %d %s after %v, want 502 at its pace, %v", got.status, got.body, took, least)
	}
}
