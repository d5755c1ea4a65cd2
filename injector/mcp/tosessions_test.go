package mcp_test

import (
	"strings"
	"testing"

	"mintmark/injector/mcp"
)

const meta2026 = `"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"a","version":"1"},` +
	`"io.modelcontextprotocol/clientCapabilities":{"roots":{"listChanged":true},"elicitation":{"form":{}},"extensions":{"x/y":{}},"experimental":{},"tasks":{}}`

func read2026(t *testing.T, text string) mcp.Message {
	t.Helper()
	m, err := mcp.NewReader(64).Read([]byte(strings.ReplaceAll(text, "META", meta2026)))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestARequestForAServerWithSessions(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"only what the session says", `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{META}}}`,
			`{"jsonrpc":"2.0","id":7,"method":"tools/list","params":{}}`},
		{"the rest of _meta stays", `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"cursor":"c","_meta":{"progressToken":1.0,META,"traceparent":"00"}}}`,
			`{"jsonrpc":"2.0","id":7,"method":"tools/list","params":{"cursor":"c","_meta":{"progressToken":1.0,"traceparent":"00"}}}`},
		{"arguments byte for byte", `{"id":"x","jsonrpc":"2.0","params":{"arguments":{ "n" : 1.50,"s":"\u0061" },"name":"t","_meta":{META}},"method":"tools/call"}`,
			`{"id":7,"jsonrpc":"2.0","params":{"arguments":{ "n" : 1.50,"s":"\u0061" },"name":"t"},"method":"tools/call"}`},
		{"without the input", `{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"p","requestState":"s","inputResponses":{"input":{}},"_meta":{META}}}`,
			`{"jsonrpc":"2.0","id":7,"method":"prompts/get","params":{"name":"p"}}`},
		{"a reference", `{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"p"},"argument":{"name":"a","value":""},"_meta":{META}}}`,
			`{"jsonrpc":"2.0","id":7,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"p"},"argument":{"name":"a","value":""}}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := read2026(t, c.in)
			got, err := mcp.ToSessions(&m, []byte("7"))
			if err != nil || string(got) != c.want {
				t.Fatalf("got %s, %v\nwant %s", got, err, c.want)
			}
			again, err := mcp.NewReader(64).Read(got)
			if err != nil || !mcp.SameCall(&m, &again) || again.Version != "" {
				t.Errorf("read again: got %+v, %v, want the same call", again, err)
			}
		})
	}
}

func TestCallsThatAreNotTheSame(t *testing.T) {
	base := read2026(t, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":{"a":1},"_meta":{META}}}`)
	for _, other := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"u","arguments":{"a":1}}}`,
		`{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"t","arguments":{"a":1}}}`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":{"a": 1}}}`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t"}}`,
		`{"jsonrpc":"2.0","method":"tools/call","params":{"name":"t","arguments":{"a":1}}}`,
	} {
		if m := read2026(t, other); mcp.SameCall(&base, &m) {
			t.Errorf("got the same call for %s", other)
		}
	}
}

func TestWhatASenderStates(t *testing.T) {
	m := read2026(t, `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{META,"progressToken":"p","io.modelcontextprotocol/logLevel":"info"}}}`)
	s, err := mcp.SenderOf(&m)
	if err != nil || s.LogLevel != "info" || string(s.Progress) != `"p"` {
		t.Fatalf("got %+v, %v", s, err)
	}
	want := `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"roots":{},"elicitation":{"form":{}}},"clientInfo":{"name":"a","version":"1"}}}`
	if got := string(s.Initialize([]byte("0"))); got != want {
		t.Errorf("initialize: got %s\nwant %s", got, want)
	}
	for name, text := range map[string]string{
		"no capabilities":         `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}`,
		"capabilities of no kind": `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":7}}}`,
		"a name that is another":  `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{META,"ProgressToken":1}}}`,
		"a state of another case": `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","RequestState":"s","_meta":{META}}}`,
		"input of no kind":        `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","requestState":"s","inputResponses":7,"_meta":{META}}}`,
		"a state that is none":    `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","requestState":7,"_meta":{META}}}`,
		"a task":                  `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","task":{},"_meta":{META}}}`,
		"info of no kind":         `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":"a","io.modelcontextprotocol/clientCapabilities":{}}}}`,
	} {
		m := read2026(t, text)
		if s, err := mcp.SenderOf(&m); err == nil {
			t.Errorf("%s: got %+v, want an error", name, s)
		}
	}
}

func answerOf(t *testing.T, text string) mcp.Answer {
	t.Helper()
	a, err := mcp.ReadAnswer([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAnAnswerOfAServerWithSessions(t *testing.T) {
	for _, c := range []struct {
		name, method, in, want string
		status                 int
	}{
		{"a result", "tools/call", `{"jsonrpc":"2.0","id":7,"result":{"content":[ 1.0 ],"isError":true}}`,
			`{"jsonrpc":"2.0","id":"new","result":{"content":[ 1.0 ],"isError":true,"resultType":"complete"}}`, 200},
		{"input by the back door", "tools/call", `{"jsonrpc":"2.0","id":7,"result":{"resultType":"input_required","inputRequests":{"x":{"method":"roots/list"}},"requestState":"s"}}`,
			`{"jsonrpc":"2.0","id":"new","result":{"resultType":"complete"}}`, 200},
		{"a list", "tools/list", `{"jsonrpc":"2.0","id":7,"result":{"tools":[]}}`,
			`{"jsonrpc":"2.0","id":"new","result":{"tools":[],"resultType":"complete","ttlMs":0,"cacheScope":"private"}}`, 200},
		{"a list for all", "tools/list", `{"jsonrpc":"2.0","id":7,"result":{"tools":[],"ttlMs":5,"cacheScope":"public"}}`,
			`{"jsonrpc":"2.0","id":"new","result":{"tools":[],"ttlMs":5,"cacheScope":"private","resultType":"complete"}}`, 200},
		{"no such method", "tools/call", `{"jsonrpc":"2.0","id":7,"error":{"code":-32601,"message":"m","data":{}}}`,
			`{"jsonrpc":"2.0","id":"new","error":{"code":-32601,"message":"m","data":{}}}`, 404},
		{"wrong params", "tools/call", `{"jsonrpc":"2.0","id":7,"error":{"code":-32602,"message":"m"}}`,
			`{"jsonrpc":"2.0","id":"new","error":{"code":-32602,"message":"m"}}`, 400},
		{"no such resource", "resources/read", `{"jsonrpc":"2.0","id":7,"error":{"code":-32002,"message":"m"}}`,
			`{"jsonrpc":"2.0","id":"new","error":{"code":-32602,"message":"m"}}`, 400},
		{"a code of another meaning", "tools/call", `{"jsonrpc":"2.0","id":7,"error":{"code":-32042,"message":"m"}}`,
			`{"jsonrpc":"2.0","id":"new","error":{"code":-32603,"message":"m"}}`, 200},
		{"a code of its own", "tools/call", `{"jsonrpc":"2.0","id":7,"error":{"code":-32000,"message":"m"}}`,
			`{"jsonrpc":"2.0","id":"new","error":{"code":-32000,"message":"m"}}`, 200},
		{"a code that is none", "tools/call", `{"jsonrpc":"2.0","id":7,"error":{"message":"m"}}`,
			`{"jsonrpc":"2.0","id":"new","error":{"message":"m","code":-32603}}`, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, status, err := answerOf(t, c.in).Complete(c.method, []byte(`"new"`))
			if err != nil || status != c.status || string(got) != c.want {
				t.Errorf("got %d %s, %v\nwant %d %s", status, got, err, c.status, c.want)
			}
		})
	}
	if got, _, err := answerOf(t, `{"jsonrpc":"2.0","id":7,"result":{"InputRequests":{}}}`).Complete("tools/call", []byte("1")); err == nil {
		t.Errorf("a name that some read as another: got %s, want an error", got)
	}
}

func TestWhatAServerMayAsk(t *testing.T) {
	sender := func(capabilities string) mcp.Sender {
		m := read2026(t, `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":`+capabilities+`}}}`)
		s, err := mcp.SenderOf(&m)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for _, c := range []struct {
		capabilities, method, params string
		want                         int
	}{
		{`{"elicitation":{}}`, "elicitation/create", `{"message":"m"}`, 0},
		{`{"elicitation":{"form":{}}}`, "elicitation/create", `{"mode":"form"}`, 0},
		{`{"elicitation":{"form":{}}}`, "elicitation/create", `{"mode":"url"}`, -32602},
		{`{"elicitation":{"url":{}}}`, "elicitation/create", `{"mode":"url"}`, 0},
		{`{"elicitation":{"url":{}}}`, "elicitation/create", `{}`, -32602},
		{`{}`, "elicitation/create", `{}`, -32601},
		{`{"roots":{}}`, "roots/list", `{}`, 0},
		{`{"sampling":{}}`, "sampling/createMessage", `{}`, 0},
		{`{"roots":{}}`, "sampling/createMessage", `{}`, -32601},
		{`{"tasks":{}}`, "tasks/get", `{}`, -32601},
		{`{"roots":{}}`, "roots/list", `[]`, -32602},
	} {
		a := answerOf(t, `{"jsonrpc":"2.0","id":"q","method":"`+c.method+`","params":`+c.params+`}`)
		if got, why := sender(c.capabilities).Wants(a); got != c.want || (why == "") != (c.want == 0) {
			t.Errorf("%s with %s of %s: got %d %q, want %d", c.capabilities, c.params, c.method, got, why, c.want)
		}
	}
	refused := answerOf(t, `{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"m","data":7}}`)
	if got, want := string(refused.Lacking([]byte("3"), "roots")), `{"jsonrpc":"2.0","id":3,"error":{"code":-32021,"message":"m","data":{"requiredCapabilities":{"roots":{}}}}}`; got != want {
		t.Errorf("a capability that lacks: got %s\nwant %s", got, want)
	}
	a := answerOf(t, `{"jsonrpc":"2.0","id":"q","method":"elicitation/create","params":{"mode":"url","url":"u","elicitationId":"e"}}`)
	want := `{"jsonrpc":"2.0","id":3,"result":{"resultType":"input_required","inputRequests":{"input":{"method":"elicitation/create","params":{"mode":"url","url":"u"}}},"requestState":"s"}}`
	if got, err := a.InputRequired([]byte("3"), "s"); err != nil || string(got) != want {
		t.Errorf("question: got %s, %v\nwant %s", got, err, want)
	}
}

func TestNotificationsOnARequestsOwnStream(t *testing.T) {
	s := mcp.Sender{LogLevel: "warning", Progress: []byte(`"new"`)}
	for _, c := range []struct{ method, params, want string }{
		{"notifications/progress", `{"progressToken":"old","progress":1}`, `{"progressToken":"new","progress":1}`},
		{"notifications/message", `{"level":"error","data":1}`, `{"level":"error","data":1}`},
		{"notifications/message", `{"level":"info","data":1}`, ""},
		{"notifications/message", `{"level":"loud"}`, ""},
		{"notifications/tools/list_changed", `{}`, ""},
		{"notifications/elicitation/complete", `{}`, ""},
		{"notifications/progress", `[]`, ""},
	} {
		want := ""
		if c.want != "" {
			want = `{"jsonrpc":"2.0","method":"` + c.method + `","params":` + c.want + `}`
		}
		if got := s.Passing(answerOf(t, `{"jsonrpc":"2.0","method":"`+c.method+`","params":`+c.params+`}`)); string(got) != want {
			t.Errorf("%s %s: got %s, want %s", c.method, c.params, got, want)
		}
	}
	silent := mcp.Sender{}
	if got := silent.Passing(answerOf(t, `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"error"}}`)); got != nil {
		t.Errorf("a log nobody wants: got %s", got)
	}
	if !mcp.Louder("debug", "info") || mcp.Louder("info", "debug") || !mcp.Louder("error", "") || mcp.Louder("", "") || mcp.Louder("loud", "") {
		t.Error("levels: got another order than debug < info < error")
	}
}

func TestWhatAServerSaidWhenItsSessionBegan(t *testing.T) {
	in, err := mcp.CutObject([]byte(`{"protocolVersion":"2025-06-18","capabilities":{"tools":{"listChanged":true},"resources":{"subscribe":true},"logging":{},"tasks":{},"experimental":{}},"serverInfo":{"name":"s","version":"1"},"instructions":"i"}`))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{},"resources":{},"logging":{}},"instructions":"i","ttlMs":0,"cacheScope":"private","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"s","version":"1"}}}`
	d, err := mcp.Discover(in)
	if err != nil || d.Revision != "2025-06-18" || !d.Logs || string(d.Result.JSON()) != want {
		t.Errorf("got %+v %s, %v\nwant %s", d, d.Result.JSON(), err, want)
	}
	for _, revision := range []string{"2024-11-05", "2026-07-28", ""} {
		if _, err := mcp.Discover(in.With("protocolVersion", mcp.Quote(revision))); err == nil {
			t.Errorf("revision %q: got no error", revision)
		}
	}
}

func TestToolsThatAreTasksOnly(t *testing.T) {
	for raw, want := range map[string]bool{
		`{"name":"t"}`: false,
		`{"name":"t","execution":{"taskSupport":"optional"}}`: false,
		`{"name":"t","execution":{"taskSupport":"required"}}`: true,
		`{"name":"t","Execution":{}}`:                         true,
		`{"name":"t","execution":7}`:                          true,
	} {
		if got := (mcp.Entry{Method: "tools/call", Name: "t", Raw: []byte(raw)}).NeedsTask(); got != want {
			t.Errorf("%s: got %t, want %t", raw, got, want)
		}
	}
}

// Whatever is worded for a server with sessions makes the call that was judged.
func FuzzToSessions(f *testing.F) {
	for _, seed := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":{"a":1},"_meta":{META}}}`,
		`{"jsonrpc":"2.0","id":"x","method":"resources/read","params":{"uri":"file:///a","_meta":{META,"progressToken":"p"},"requestState":"s"}}`,
		`{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"p"},"_meta":{META}}}`,
	} {
		f.Add([]byte(strings.ReplaceAll(seed, "META", meta2026)))
	}
	reader := mcp.NewReader(64)
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := reader.Read(text)
		if err != nil || m.Kind != mcp.Request || m.Version == "" {
			return
		}
		if _, err := mcp.SenderOf(&m); err != nil {
			return
		}
		worded, err := mcp.ToSessions(&m, m.ID)
		if err != nil {
			t.Fatalf("word %s: %v", text, err)
		}
		again, err := reader.Read(worded)
		if err != nil || !mcp.SameCall(&m, &again) || again.Version != "" || string(again.ID) != string(m.ID) {
			t.Fatalf("got %s of %s: %v", worded, text, err)
		}
	})
}
