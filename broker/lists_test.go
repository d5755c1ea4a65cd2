package broker_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"mintmark/internal/fault"
)

// lists makes the upstream answer tools/list with tools, in one of the two
// forms, and every other call with success.
func (u *upstream) lists(result string, stream bool) {
	u.does(func(w http.ResponseWriter, r *http.Request) {
		answer := `{"jsonrpc":"2.0","id":1,"result":` + result + `}`
		if !strings.Contains(u.newestBody(), `/list"`) {
			answer = okAnswer
		}
		if stream {
			w.Header().Set("Content-Type", "text/event-stream")
			answer = "id: 3\ndata: " + answer + "\n\n"
		} else {
			w.Header().Set("Content-Type", "application/json")
		}
		_, _ = io.WriteString(w, answer)
	})
}

func (u *upstream) newestBody() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.newest.body
}

// question is a request for a list.
func question(list string) string { return `{"jsonrpc":"2.0","id":1,"method":"` + list + `"}` }

// result returns the result in an answer of either form.
func (a answer) result(t testing.TB) map[string]json.RawMessage {
	t.Helper()
	text := a.body
	if a.header.Get("Content-Type") == "text/event-stream" {
		_, text, _ = strings.Cut(text, "data: ")
	}
	var m struct {
		Result map[string]json.RawMessage
	}
	mustJSON(t, []byte(text), &m)
	return m.Result
}

// named returns the names in one list of an answer.
func (a answer) named(t testing.TB, list string) []string {
	t.Helper()
	var entries []map[string]json.RawMessage
	mustJSON(t, a.result(t)[list], &entries)
	names := []string{}
	for _, e := range entries {
		for _, id := range []string{"uri", "uriTemplate", "name"} {
			if e[id] != nil {
				var name string
				mustJSON(t, e[id], &name)
				names = append(names, name)
				break
			}
		}
	}
	return names
}

const readable = `
@id("shop-reads-public")
permit (principal == Agent::"spiffe://example.org/agent/shop", action in [Action::"resources/read", Action::"prompts/get"], resource)
when { resource.name like "file:///public/*" || resource.name == "greet" };
@id("nobody-refunds-all")`

func TestListsShowWhatMayBeCalled(t *testing.T) {
	t.Parallel()
	w := open(t)
	if err := w.change("policies.cedar", `@id("nobody-refunds-all")`, readable); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, method, list, result string
		want                       []string
	}{
		{"tools", "tools/list", "tools", `{"tools":[{"name":"lookup_a"},{"name":"refund"},{"name":"refund_all"},{"name":"lookup_b","inputSchema":{"type":"object"}}],"nextCursor":"2"}`, []string{"lookup_a", "lookup_b"}},
		{"all of them", "tools/list", "tools", `{"tools":[{"name":"lookup_a"}]}`, []string{"lookup_a"}},
		{"none of them", "tools/list", "tools", `{"tools":[{"name":"refund"}]}`, []string{}},
		{"entries that no call can name", "tools/list", "tools", `{"tools":[7,{"name":7},{},{"name":""},{"name":"lookup_\n"},{"name":"lookup_x"}]}`, []string{"lookup_x"}},
		{"prompts", "prompts/list", "prompts", `{"prompts":[{"name":"greet"},{"name":"insult"}]}`, []string{"greet"}},
		{"resources", "resources/list", "resources", `{"resources":[{"uri":"file:///public/a","name":"x"},{"uri":"file:///etc/shadow","name":"y"}]}`, []string{"file:///public/a"}},
		{"templates", "resources/templates/list", "resourceTemplates", `{"resourceTemplates":[{"uriTemplate":"file:///public/{name}","name":"x"},{"uriTemplate":"file:///{name}","name":"y"}]}`, []string{"file:///public/{name}"}},
		{"another list than was asked for", "prompts/list", "tools", `{"prompts":[],"tools":[{"name":"refund"},{"name":"lookup_a"}]}`, []string{"lookup_a"}},
	} {
		for _, stream := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, stream %t", c.name, stream), func(t *testing.T) {
				w.upstream.lists(c.result, stream)
				got := w.wantOK(w.call(body(question(c.method))), "")
				if names := got.named(t, c.list); !slices.Equal(names, c.want) {
					t.Errorf("got %v, want %v", names, c.want)
				}
				if strings.Contains(c.result, "nextCursor") != strings.Contains(got.body, `"nextCursor":"2"`) {
					t.Errorf("got %q, want the rest of the result as it was", got.body)
				}
			})
		}
	}
}

// A stream of which a list is shown in part does not state the length of the whole, in
// whatever way its type is written.
func TestAListInAStreamKeepsNoLength(t *testing.T) {
	t.Parallel()
	for _, way := range over() {
		for _, kind := range []string{"text/event-stream", " text/event-stream", "\tText/Event-Stream ; charset=utf-8"} {
			t.Run(way+"/"+kind, func(t *testing.T) {
				t.Parallel()
				w := open(t)
				w.registerOver(way, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
					text := `data: {"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"lookup_a"},{"name":"refund"}]}}` + "\n\n"
					rw.Header()["Content-Type"] = []string{kind}
					rw.Header().Set("Content-Length", strconv.Itoa(len(text)))
					_, _ = io.WriteString(rw, text)
				}))
				got := w.wantOK(w.call(to("/mcp/slow"), body(question("tools/list"))), "lookup_a")
				if strings.Contains(got.body, "refund") || got.header.Get("Content-Length") != "" || got.header.Get("X-Accel-Buffering") != "no" {
					t.Errorf("got %v %q, want a stream without the other tool, and without a length", got.header, got.body)
				}
			})
		}
	}
}

func TestListsAreForOneAgentAlone(t *testing.T) {
	t.Parallel()
	w := open(t)
	for result, want := range map[string]string{
		`{"tools":[],"ttlMs":5000,"cacheScope":"public"}`:  `{"tools":[],"ttlMs":5000,"cacheScope":"private"}`,
		`{"tools":[],"ttlMs":5000,"cacheScope":"private"}`: `{"tools":[],"ttlMs":5000,"cacheScope":"private"}`,
		`{"tools":[],"cacheScope":7}`:                      `{"tools":[],"cacheScope":"private"}`,
	} {
		w.upstream.lists(result, false)
		got := w.wantOK(w.call(body(question("tools/list"))), "")
		if !strings.Contains(got.body, `"result":`+want) {
			t.Errorf("%s: got %s, want %s", result, got.body, want)
		}
	}
}

// An answer may come on another stream than its question's: a session's own.
func TestAListThatComesLateIsFilteredToo(t *testing.T) {
	t.Parallel()
	w := open(t)
	x, e := w.stream(get("/mcp/orders"))
	e.event(t, `data: {"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"refund"},{"name":"lookup_a"}]}}`+"\n\n")
	x.want(`data: {"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"lookup_a"}]}}` + "\n\n")
	e.event(t, ": still here\n")
	if line, err := x.body.ReadString('\n'); line != ": still here\n" || err != nil {
		t.Errorf("a comment: got %q, %v, want it at once", line, err)
	}
	e.event(t, `data: {"jsonrpc":"2.0","id":1,"result":{"Tools":[{"name":"refund"}]}}`+"\n\n")
	if rest := x.wantCut(); rest != "" {
		t.Errorf("a list that some clients read: got %q, want nothing of it", rest)
	}
}

func TestListsThatCanBeReadInTwoWaysAreRefused(t *testing.T) {
	t.Parallel()
	w := open(t, func(s *setup) { s.Limits = "body: 64KiB, answer: 4KiB, shutdown: 5s" })
	for name, answer := range map[string]string{
		"a name twice":        `{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"lookup_a","name":"refund"}]}}`,
		"a tool twice":        `{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"lookup_a","description":"x"},{"name":"lookup_a"}]}}`,
		"a definition's case": `{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"lookup_a","description":"x","Description":"y"}]}}`,
		"a list twice":        `{"jsonrpc":"2.0","id":1,"result":{"tools":[],"tools":[{"name":"refund"}]}}`,
		"a result twice":      `{"jsonrpc":"2.0","id":1,"result":{},"result":{"tools":[{"name":"refund"}]}}`,
		"another case":        `{"jsonrpc":"2.0","id":1,"result":{"TOOLS":[{"name":"refund"}]}}`,
		"a name's case":       `{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"lookup_a","Name":"refund"}]}}`,
		"a list of no array":  `{"jsonrpc":"2.0","id":1,"result":{"tools":{"name":"refund"}}}`,
		"broken UTF-8":        "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"tools\":[{\"name\":\"lookup_\xff\"}]}}",
		"more than one":       `{"jsonrpc":"2.0","id":1,"result":{}}{"result":{"tools":[{"name":"refund"}]}}`,
		"too large":           `{"jsonrpc":"2.0","id":1,"result":{"tools":[],"x":"` + repeat("x", 4<<10) + `"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			w.upstream.does(func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(rw, answer)
			})
			says := "can't be read in one way only"
			if name == "too large" {
				says = "larger than limits.answer"
			}
			w.wantRefused(w.call(body(question("tools/list"))), want{200, -31502, "answer", fault.BadUpstream, says, "shop", true})
		})
	}
}

func TestAListOfAnotherTypeIsRefused(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.upstream.does(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(rw, `{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"refund"}]}}`)
	})
	w.wantRefused(w.call(body(question("tools/list"))), want{200, -31502, "answer", fault.BadUpstream, "can't be read in one way only", "shop", true})
}

// What a list shows is what may be called, and all of it, whatever the policies
// and the list: both ask the same decision.
func TestListedIsCallable(t *testing.T) {
	t.Parallel()
	w := open(t)
	seeds := []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20}
	policies, shown, hidden := policy, 0, 0
	for _, seed := range seeds {
		r := rand.New(rand.NewPCG(seed, 7))
		next := randomPolicies(r)
		if err := w.change("policies.cedar", policies, next); err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, next)
		}
		policies = next
		tools := randomTools(r)
		entries := make([]string, len(tools))
		for i, tool := range tools {
			entries[i] = `{"name":"` + tool + `"}`
		}
		upstream := pick(r, "orders", "payroll", "tools", "open")
		w.upstream.lists(`{"tools":[`+strings.Join(entries, ",")+`]}`, r.IntN(2) == 0)
		listed := []string{}
		if got := w.do(w.call(to("/mcp/"+upstream), body(question("tools/list")))); !strings.Contains(got.body, `"error"`) {
			listed = got.named(t, "tools")
		} else if upstream != "tools" { // its credentials are for tools alone
			t.Fatalf("seed %d: got %q, want a list", seed, got.body)
		}
		for _, tool := range tools {
			answer := w.do(w.call(to("/mcp/"+upstream), body(toolCall(tool))))
			callable := strings.Contains(answer.body, `"result"`)
			if slices.Contains(listed, tool) != callable && upstream != "tools" || slices.Contains(listed, tool) && !callable {
				t.Errorf("seed %d: %s of %s: listed %t, callable %t (%s)\n%s", seed, tool, upstream, !callable, callable, answer.body, policies)
			}
			if callable {
				shown++
			} else {
				hidden++
			}
		}
	}
	if shown < 20 || hidden < 20 {
		t.Errorf("got %d tools that may be called and %d that may not: want enough of both to prove something", shown, hidden)
	}
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

func randomTools(r *rand.Rand) []string {
	var tools []string
	for range 3 + r.IntN(6) {
		tool := pick(r, "lookup_", "refund_", "read", "write_", "") + pick(r, "order", "all", "7", "ünïcode")
		if !slices.Contains(tools, tool) {
			tools = append(tools, tool)
		}
	}
	return tools
}

// randomPolicies permits lists, and calls under random scopes and conditions.
func randomPolicies(r *rand.Rand) string {
	text := "permit (principal, action in [Action::\"connect\", Action::\"list\"], resource);\n"
	for i := range 1 + r.IntN(6) {
		resource := pick(r, `resource`, `resource in Upstream::"orders"`, `resource == Tool::"orders/lookup_order"`, `resource == Tool::"open/read7"`, `resource in Upstream::"payroll"`)
		condition := pick(r, ``, `when { resource.name like "lookup_*" }`, `unless { resource.name like "*all" }`,
			`when { context.posture has scan && context.posture.scan.value == "pass" }`, `when { context.credential == "token" }`,
			`when { resource.name like "*7" && context.credential != "token" }`)
		text += fmt.Sprintf("@id(\"p%d\") %s (principal, action == Action::\"tools/call\", %s) %s;\n", i, pick(r, "permit", "permit", "forbid"), resource, condition)
	}
	return text
}

// Clients take an answer by its id wherever it comes. A list that comes in the
// answer to another call was neither filtered nor held to what its tools were, so
// that it does not come.
func TestAListInTheAnswerToAnotherCall(t *testing.T) {
	t.Parallel()
	const list = `{"jsonrpc":"2.0","id":77,"result":{"tools":[{"name":"refund_all"}]}}`
	for name, c := range map[string]struct{ kind, answer string }{
		"as an event": {"text/event-stream", "data: " + list + "\n\ndata: " + okAnswer + "\n\n"},
		"in lines":    {"text/event-stream", "data: " + strings.ReplaceAll(list, ",", ",\ndata: ") + "\n\n"},
		"in JSON":     {"application/json", list},
		"in a batch":  {"application/json", "[" + okAnswer + "," + list + "]"},
	} {
		t.Run(name, func(t *testing.T) {
			w := open(t)
			w.upstream.does(says(200, c.kind, c.answer))
			got := w.do(w.call())
			if got.err == nil || strings.Contains(got.body, "refund_all\"}]}}") {
				t.Errorf("got %q, %v, want an answer that is cut short", got.body, got.err)
			}
			if o := w.outcome(w.lastAllowed().Call); o.Fault != fault.BadUpstream.String() {
				t.Errorf("outcome: got %q, %q, want %s", o.Fault, o.Reason, fault.BadUpstream)
			}
		})
	}
}

// What is a list to a client must be one here: clients differ in how they find the
// type of an answer, and in whether they heed its charset.
func TestAnswersWhoseTypeIsReadInTwoWays(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		types  []string
		passes bool
	}{
		"a stream":                  {[]string{"text/event-stream; charset=UTF-8"}, true},
		"JSON":                      {[]string{"application/json;charset=utf-8"}, true},
		"a parameter without value": {[]string{"application/json; charset"}, true},
		"an older charset":          {[]string{"application/json; charset=ISO-8859-1"}, true},
		"another type":              {[]string{"text/plain; charset=utf-16"}, true},
		"a stream in UTF-16":        {[]string{"text/event-stream; charset=utf-16le"}, false},
		"a stream in UTF-7":         {[]string{"text/event-stream; charset=utf-7"}, false},
		"a parameter twice":         {[]string{"text/event-stream; a=b; a=c"}, false},
		"within another":            {[]string{"text/event-streams"}, false},
		"two in one":                {[]string{"application/json, text/event-stream"}, false},
		"two":                       {[]string{"text/plain", "text/event-stream"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := open(t)
			w.upstream.does(func(out http.ResponseWriter, _ *http.Request) { out.Header()["Content-Type"] = c.types })
			got := w.do(w.call())
			if refused := strings.Contains(got.body, "whose type clients may read in another way"); refused == c.passes {
				t.Errorf("got %d %q, want it to pass: %t", got.status, got.body, c.passes)
			}
		})
	}
}
