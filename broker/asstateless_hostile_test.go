package broker_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mintmark/broker/audit"
	"mintmark/internal/fault"
	"mintmark/internal/trustdomain"
)

// begins answers what begins a session, for a server of these capabilities, and
// everything else by h.
func begins(h http.HandlerFunc, capabilities ...string) http.HandlerFunc {
	stated := strings.Join(append(capabilities, `"tools":{}`), ",")
	var sessions atomic.Int64
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		text := string(body)
		r.Body = io.NopCloser(strings.NewReader(text))
		switch {
		case strings.Contains(text, `"server/discover"`):
			http.Error(w, "no session", http.StatusBadRequest)
		case strings.Contains(text, `"initialize"`):
			w.Header().Set("Mcp-Session-Id", fmt.Sprintf("session-%d", sessions.Add(1)))
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":"mintmark-initialize","result":{"protocolVersion":"2025-06-18","capabilities":{`+stated+`}}}`)
		case strings.Contains(text, `"notifications/initialized"`):
			w.WriteHeader(http.StatusAccepted)
		default:
			h(w, r)
		}
	}
}

// scriptedServer returns a world whose upstream begins sessions and then does as h.
func scriptedServer(t *testing.T, h http.HandlerFunc, change ...func(*setup)) *world {
	t.Helper()
	address := serve(t, begins(h), nil)
	return open(t, append([]func(*setup){func(s *setup) { s.Upstream, s.Policy = address, bridgePolicy }}, change...)...)
}

func says(status int, kind, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}
}

func (w *world) lookup(id int) request {
	return w.stateless2026("tools/call", id, `"name":"lookup_order","arguments":{}`, "")
}

func TestAnswersThatTheBridgeCantGiveOn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		does http.HandlerFunc
		says string
	}{
		{"no answer in the stream", says(200, "text/event-stream", "data: {\"jsonrpc\":\"2.0\",\"id\":9,\"result\":{}}\n\n"), "without a JSON-RPC answer"},
		{"text", says(500, "text/plain", "oops"), "HTTP status 500"},
		{"nothing", says(202, "text/plain", ""), "HTTP status 202"},
		{"a name twice", says(200, "application/json", `{"jsonrpc":"2.0","id":0,"result":{},"result":{}}`), "can't be read in one way"},
		{"a name that is another to some", says(200, "application/json", `{"jsonrpc":"2.0","id":0,"result":{"InputRequests":{}}}`), "can't be read in one way"},
		{"its credential refused", says(401, "text/plain", ""), "refused the credential"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := scriptedServer(t, c.does)
			got := w.do(w.lookup(0))
			if said := got.refusal(t); got.status != 200 || said.Code != -31502 || !strings.Contains(said.Text, c.says) {
				t.Errorf("got %d %s, want it to say %q", got.status, got.body, c.says)
			}
		})
	}
}

// What an upstream says instead of beginning a session reaches the agent and the
// record without the credential in it, not even a part, and cut to a length that
// can be read.
func TestWhatAnUpstreamSaysInsteadOfASession(t *testing.T) {
	t.Parallel()
	const canary, longest = "access-token-canary", 512
	filler := repeat("x", 180) // so that a cut comes within the credential
	for name, c := range map[string]struct {
		answer func(secret string) string
		says   string
	}{
		"a reason": {func(string) string { return `"error":{"code":-32000,"message":"closed on sundays"}` },
			"refused to begin a session: closed on sundays"},
		"a long one": {func(string) string { return `"error":{"code":-32000,"message":"` + repeat("long ", 4000) + `"}` },
			"refused to begin a session: long long"},
		"one of many lines": {func(string) string { return `"error":{"code":-32000,"message":"a\nb\u001b[2J\u202ec"}` },
			"refused to begin a session: a?b?[2J?c"},
		"its credential": {func(secret string) string { return `"error":{"code":-32000,"message":"bad token ` + secret + `"}` },
			"refused to begin a session: bad token ****"},
		"its credential at the cut": {func(secret string) string { return `"error":{"code":-32000,"message":"` + filler + secret + `"}` },
			"refused to begin a session: xxx"},
		"its credential, escaped": {func(secret string) string {
			return `"error":{"code":-32000,"message":"bad token \u0061` + secret[1:] + `"}`
		}, "refused to begin a session: bad token ****"},
		"no session that is known": {func(secret string) string {
			return `"result":{"protocolVersion":"` + filler + secret + repeat("long ", 4000) + `","capabilities":{}}`
		}, "began a session that can't be read"},
	} {
		t.Run(name, func(t *testing.T) {
			address := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if text, _ := io.ReadAll(r.Body); strings.Contains(string(text), `"server/discover"`) {
					http.Error(w, "no session", http.StatusBadRequest)
					return
				}
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":"mintmark-initialize",`+c.answer(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))+`}`)
			}), nil)
			w := open(t, func(s *setup) { s.Upstream, s.Policy = address, bridgePolicy })
			got := w.do(w.lookup(0))
			said := got.refusal(t)
			if got.status != 200 || said.Code != -31502 || !strings.Contains(said.Text, c.says) || len(got.body) > 2*longest || strings.Contains(got.body, canary) {
				t.Errorf("got %d %.1000s, want it to say %q, in short", got.status, got.body, c.says)
			}
			for _, r := range w.ofCall(said.Call) {
				if len(r.Reason) > longest || strings.Contains(r.Reason, canary) {
					t.Errorf("record of %s: got the reason %.600q, want it short and without the credential", r.Method, r.Reason)
				}
			}
			if n := w.count(audit.Outcome, "initialize", said.Call); n != 1 {
				t.Errorf("outcomes of initialize: got %d, want 1", n)
			}
			w.wantShortLog(canary, longest)
		})
	}
}

// wantShortLog demands that no line of the log holds text, or a cause that is
// longer than longest.
func (w *world) wantShortLog(text string, longest int) {
	w.t.Helper()
	logged := string(w.logged.bytes())
	for line := range strings.Lines(logged) {
		if strings.Contains(line, text) || len(line) > 4*longest {
			w.t.Errorf("log: got %.1000s", line)
		}
	}
	if logged == "" {
		w.t.Error("log: got nothing")
	}
}

// A tool that can be called as a task only has no counterpart, and is not listed.
func TestTheBridgeListsNoToolsThatNeedATask(t *testing.T) {
	t.Parallel()
	w := scriptedServer(t, says(200, "application/json", `{"jsonrpc":"2.0","id":1,"result":{"tools":[`+
		`{"name":"lookup_a","execution":{"taskSupport":"required"}},{"name":"lookup_b","execution":{"taskSupport":"optional"}}]}}`))
	wantNames(t, "tools", w.wantOK(w.stateless2026("tools/list", 1, "", ""), "lookup_b").merged(t).names(), "lookup_b")
}

func TestASessionThatIsUnknownIsBegunAnewOnce(t *testing.T) {
	t.Parallel()
	for name, unknown := range map[string]http.HandlerFunc{
		"404":                says(404, "text/plain", "no"),
		"404 with a message": says(404, "application/json", `{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"Session not found"}}`),
		"400":                says(400, "text/plain", "No valid session ID provided"),
		"400 under its id":   says(400, "application/json", `{"jsonrpc":"2.0","id":0,"error":{"code":-32000,"message":"Bad Request: No valid session ID provided"}}`),
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			var used []string
			forgetful := true
			w := scriptedServer(t, func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				used = append(used, r.Header.Get("Mcp-Session-Id"))
				if forgetful && len(used) == 1 {
					unknown(w, r)
					return
				}
				says(200, "application/json", `{"jsonrpc":"2.0","id":0,"result":{"content":[]}}`)(w, r)
			})
			w.wantOK(w.lookup(0), `"resultType":"complete"`)
			if got := strings.Join(used, " "); got != "session-1 session-2" {
				t.Errorf("sessions: got %q", got)
			}
		})
	}
	var calls atomic.Int64
	w := scriptedServer(t, func(w http.ResponseWriter, r *http.Request) { calls.Add(1); says(404, "text/plain", "no")(w, r) })
	if said := w.do(w.lookup(0)).refusal(t); !strings.Contains(said.Text, "does not know the session") || calls.Load() != 2 {
		t.Errorf("never known: got %q after %d calls, want 2", said.Text, calls.Load())
	}
}

// An error of the call's own is no lost session, and is made once.
func TestAnErrorOfTheCallPasses(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	w := scriptedServer(t, func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		says(400, "application/json", `{"jsonrpc":"2.0","id":0,"error":{"code":-32602,"message":"session: expected a number"}}`)(w, r)
	})
	if got := w.do(w.lookup(0)); got.status != 400 || !strings.Contains(got.body, `"session: expected a number"`) || calls.Load() != 1 {
		t.Errorf("got %d %s after %d calls", got.status, got.body, calls.Load())
	}
}

func TestAnIdleSessionIsEndedForItsAgent(t *testing.T) {
	t.Parallel()
	var ended, called atomic.Pointer[string]
	var later atomic.Int64
	w := scriptedServer(t, func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("Mcp-Session-Id")
		if r.Method == http.MethodDelete {
			ended.Store(&id)
			return
		}
		called.Store(&id)
		says(200, "application/json", `{"jsonrpc":"2.0","id":0,"result":{}}`)(w, r)
	}, func(s *setup) { s.Clock = func() time.Time { return time.Now().Add(time.Duration(later.Load())) } })
	w.agent = w.token(w.domain, "shop", trustdomain.JWTRequest{Lifetime: time.Hour})
	w.wantOK(w.lookup(0), "complete")
	later.Store(int64(11 * time.Minute))
	w.wantOK(w.lookup(0), "complete")
	w.await("the end of the idle session", func() bool { return ended.Load() != nil })
	if *ended.Load() != "session-1" || *called.Load() != "session-2" {
		t.Errorf("got the end of %q and a call in %q, want session-1 and session-2", *ended.Load(), *called.Load())
	}
	w.await("its record", func() bool { return w.count(audit.Outcome, "end", "") == 1 })
}

func TestWhoeverCallsFirstMayLeave(t *testing.T) {
	t.Parallel()
	entered, free := make(chan struct{}), make(chan struct{})
	first := true
	inner := begins(says(200, "application/json", `{"jsonrpc":"2.0","id":1,"result":{}}`))
	address := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Mcp-Protocol-Version") == "" && first { // initialize
			first = false
			close(entered)
			<-free
		}
		inner(w, r)
	}), nil)
	w := open(t, func(s *setup) { s.Upstream, s.Policy = address, bridgePolicy })
	conn := w.write(w.lookup(0))
	recv(t, "the first message of a session", entered)
	done := make(chan answer, 1)
	go func() { done <- w.do(w.lookup(1)) }()
	w.await("the second call", func() bool { return w.broker.Waiting() == 2 })
	_ = conn.Close()
	w.await("the first call to end", func() bool { return w.broker.Waiting() == 1 })
	close(free)
	if got := recv(t, "the second answer", done); got.status != 200 || !strings.Contains(got.body, "complete") {
		t.Errorf("got %d %s", got.status, got.body)
	}
	if n := w.count(audit.Decision, "initialize", ""); n != 1 {
		t.Errorf("sessions begun: got %d, want 1", n)
	}
}

func TestTheBridgeWantsLeaveToBeginASession(t *testing.T) {
	t.Parallel()
	w := scriptedServer(t, answerOK, func(s *setup) {
		s.Policy += `@id("no-sessions") forbid (principal, action == Action::"initialize", resource);`
	})
	got := w.do(w.lookup(0))
	if said := got.refusal(t); said.Code != -31403 || said.Step != "decide" || !strings.Contains(said.Text, "initialize") || !strings.Contains(said.Text, "no-sessions") {
		t.Errorf("got %d %s", got.status, got.body)
	}
}

// What an agent may not call is refused before anything reaches the upstream.
func TestAForbiddenCallBeginsNoSession(t *testing.T) {
	t.Parallel()
	w := scriptedServer(t, answerOK)
	got := w.do(w.stateless2026("tools/call", 0, `"name":"delete_order"`, ""))
	if said := got.refusal(t); said.Code != -31403 || w.count(audit.Decision, "initialize", "") != 0 {
		t.Errorf("got %d %s, with %d sessions begun", got.status, got.body, w.count(audit.Decision, "initialize", ""))
	}
}

// An agent that leaves in the middle ends the call at the server too.
func TestAnAgentThatLeavesInTheMiddle(t *testing.T) {
	t.Parallel()
	left, told := make(chan struct{}), make(chan string, 1)
	w := scriptedServer(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), "notifications/cancelled") {
			told <- string(body)
			w.WriteHeader(http.StatusAccepted)
			return
		}
		says(200, "text/event-stream", "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\n"+
			"data: \"params\":{\"progressToken\":\"p\",\"progress\":1}}\n\n")(w, r)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(left)
	})
	slow := w.lookup(1)
	slow.body = strings.Replace(slow.body, `{"_meta":{`, `{"_meta":{"progressToken":"p",`, 1)
	x := w.begin(slow)
	if got, err := x.event(); err != nil || !strings.Contains(got, `"progress":1`) {
		t.Fatalf("progress: got %q, %v", got, err)
	}
	_ = x.conn.Close()
	recv(t, "the end of the upstream's request", left)
	if got := recv(t, "the word to the server", told); !strings.Contains(got, `"requestId":1`) {
		t.Errorf("cancelled: got %s", got)
	}
	w.await("the outcome", func() bool { return w.count(audit.Outcome, "tools/call", "") == 1 })
}

func TestPostureThatTurnsBadEndsAStreamInASession(t *testing.T) {
	t.Parallel()
	w := scriptedServer(t, func(w http.ResponseWriter, r *http.Request) {
		if body, _ := io.ReadAll(r.Body); strings.Contains(string(body), "notifications/cancelled") {
			w.WriteHeader(http.StatusAccepted)
			return
		}
		says(200, "text/event-stream", "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":\"old\",\"progress\":1}}\n\n")(w, r)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	slow := w.lookup(1)
	slow.body = strings.Replace(slow.body, `{"_meta":{`, `{"_meta":{"progressToken":"p",`, 1)
	x := w.begin(slow)
	if got, err := x.event(); err != nil || !strings.Contains(got, `"progressToken":"p"`) {
		t.Fatalf("progress: got %q, %v", got, err)
	}
	w.scan.state(w.id("shop"), "fail", time.Now())
	if rest, err := x.event(); err != nil || !strings.Contains(rest, `"id":1`) || !strings.Contains(rest, "no passing scan") {
		t.Errorf("after the posture turned bad: got %q, %v, want why", rest, err)
	}
	w.await("the outcome", func() bool { return w.count(audit.Outcome, "tools/call", "") == 1 })
}

func TestAnAgentHasSoManySessions(t *testing.T) {
	t.Parallel()
	var ended atomic.Int64
	w := scriptedServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete {
			ended.Add(1)
		}
		says(200, "application/json", `{"jsonrpc":"2.0","id":0,"result":{}}`)(w, r)
	})
	for i := range 66 {
		w.wantOK(w.lookupBy(i), "complete")
	}
	w.await("the end of the two least used", func() bool { return ended.Load() == 2 })
}

// A server that fails for want of a capability says so in the agent's revision.
func TestACapabilityThatTheAgentLacks(t *testing.T) {
	t.Parallel()
	answered := make(chan string, 1)
	w := scriptedServer(t, func(w http.ResponseWriter, r *http.Request) {
		if body, _ := io.ReadAll(r.Body); strings.Contains(string(body), `"error"`) {
			answered <- string(body)
			w.WriteHeader(http.StatusAccepted)
			return
		}
		says(200, "text/event-stream", `data: {"jsonrpc":"2.0","id":"q","method":"sampling/createMessage","params":{}}`+"\n\n"+
			`data: {"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"can't sample"}}`+"\n\n")(w, r)
	})
	got := w.do(w.lookup(1))
	if got.status != 400 || !strings.Contains(got.body, `"code":-32021`) || !strings.Contains(got.body, `{"requiredCapabilities":{"sampling":{}}}`) {
		t.Errorf("got %d %s", got.status, got.body)
	}
	if text := recv(t, "the answer to the server", answered); !strings.Contains(text, `"code":-32601`) || !strings.Contains(text, `"id":"q"`) {
		t.Errorf("to the server: got %s", text)
	}
}

// Whatever a server asks is answered by a message of its own, with its records, so
// that one call must not be asked for ever.
func TestAServerThatAsksOnAndOn(t *testing.T) {
	t.Parallel()
	for name, method := range map[string]string{"whether its client is alive": "ping", "for what it has not": "sampling/createMessage"} {
		t.Run(name, func(t *testing.T) {
			w := scriptedServer(t, func(w http.ResponseWriter, r *http.Request) {
				if body, _ := io.ReadAll(r.Body); !strings.Contains(string(body), `"tools/call"`) {
					w.WriteHeader(http.StatusAccepted)
					return
				}
				says(200, "text/event-stream", strings.Repeat(`data: {"jsonrpc":"2.0","id":1,"method":"`+method+"\"}\n\n", 100)+
					"data: {\"jsonrpc\":\"2.0\",\"id\":0,\"result\":{\"content\":[]}}\n\n")(w, r)
			})
			if said := w.do(w.lookup(0)).refusal(t); said.Kind != fault.BadUpstream.String() || !strings.Contains(said.Text, "too often") {
				t.Errorf("got %+v, want it to say that the upstream asks too often", said)
			}
			if n := w.count(audit.Decision, "response", ""); n != 32 {
				t.Errorf("answers to the server: got %d, want 32", n)
			}
		})
	}
}

// A server that never says whether it logs from now on holds the call that told it,
// and no other beyond its agent's patience.
func TestAServerThatAnswersNoLevel(t *testing.T) {
	t.Parallel()
	told := make(chan struct{}, 2)
	address := serve(t, begins(func(w http.ResponseWriter, r *http.Request) {
		if body, _ := io.ReadAll(r.Body); !strings.Contains(string(body), `"logging/setLevel"`) {
			w.WriteHeader(http.StatusAccepted)
			return
		}
		told <- struct{}{}
		<-r.Context().Done()
	}, `"logging":{}`), nil)
	w := open(t, func(s *setup) { s.Upstream, s.Policy = address, bridgePolicy })
	call := w.lookup(1)
	call.body = strings.Replace(call.body, `{"_meta":{`, `{"_meta":{"io.modelcontextprotocol/logLevel":"info",`, 1)
	w.write(call)
	recv(t, "the level", told)
	other := w.write(call)
	w.await("the second call", func() bool { return w.broker.Waiting() == 2 })
	_ = other.Close()
	w.await("the second call to end with its agent", func() bool { return w.broker.Waiting() == 1 })
}

// lookupBy is a call by one of several clients of an agent.
func (w *world) lookupBy(client int) request {
	call := w.lookup(0)
	call.body = strings.Replace(call.body, `{"_meta":{`, fmt.Sprintf(`{"_meta":{"io.modelcontextprotocol/clientInfo":{"name":"c","version":"%d"},`, client), 1)
	return call
}

// To begin and to end a session goes on when the agent has left, and its slot with
// it: one agent on a slow server must not make the broker do so many at once.
func TestAnAgentThatLeavesOneSessionAfterAnother(t *testing.T) {
	t.Parallel()
	const most = 64
	t.Run("while they begin", func(t *testing.T) {
		var begun atomic.Int64
		free := make(chan struct{})
		defer close(free)
		address := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if body, _ := io.ReadAll(r.Body); strings.Contains(string(body), `"server/discover"`) {
				http.Error(w, "no session", http.StatusBadRequest)
				return
			}
			begun.Add(1)
			<-free
		}), nil)
		w := open(t, func(s *setup) { s.Upstream, s.Policy = address, bridgePolicy })
		for i := range most {
			conn := w.write(w.lookupBy(i))
			w.await("a session to begin", func() bool { return begun.Load() == int64(i+1) })
			_ = conn.Close()
		}
		if said := w.do(w.lookupBy(most)).refusal(t); said.Code != -31503 || begun.Load() != most {
			t.Errorf("one more: got %+v with %d begun, want it to be refused", said, begun.Load())
		}
	})
	t.Run("while they end", func(t *testing.T) {
		var ending atomic.Int64
		free := make(chan struct{})
		defer close(free)
		w := scriptedServer(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodDelete {
				ending.Add(1)
				<-free
				return
			}
			says(200, "application/json", `{"jsonrpc":"2.0","id":0,"result":{}}`)(w, r)
		})
		for i := range 2*most + 10 {
			w.wantOK(w.lookupBy(i), "complete")
		}
		w.await("as many ends as may be", func() bool { return ending.Load() == most })
		if n := w.count(audit.Decision, "end", ""); n != most {
			t.Errorf("ends on record: got %d, want %d", n, most)
		}
	})
}
