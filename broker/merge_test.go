package broker_test

import (
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"mintmark/broker/audit"
	"mintmark/injector/mcp"
	"mintmark/internal/fault"
)

// eras runs f with a client of each era. The server called slow holds its answers
// until the test has ended, so that whatever is answered did not wait for it.
func eras(t *testing.T, f func(t *testing.T, s *several, client *sdk.ClientSession)) {
	for _, revision := range []string{"2026-07-28", "2025-11-25"} {
		t.Run(revision, func(t *testing.T) {
			s := openSeveral(t)
			client := s.connect(t, "shop", revision)
			if got := client.InitializeResult(); got.ProtocolVersion != revision || got.ServerInfo == nil || got.ServerInfo.Name != "mintmark" {
				t.Fatalf("got %+v, want %s of mintmark", got, revision)
			}
			f(t, s, client)
		})
	}
}

func TestOneEndpointListsWhatAllUpstreamsHave(t *testing.T) {
	eras(t, func(t *testing.T, s *several, client *sdk.ClientSession) {
		s.odd.answers("tools/list", func(rpc) string {
			return `{"tools":[{"name":"one","inputSchema":{"type":"object"}},{"name":"delete_it","inputSchema":{"type":"object"}}]}`
		})
		s.odd.answers("tools/call", func(rpc) string { return `{"content":[]}` })
		var tools, prompts, resources, templates []string
		first, err := client.ListTools(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := first.Meta["io.mintmark/unavailable"]; !slices.Equal(got.([]any), []any{"dead", "slow"}) {
			t.Errorf("unavailable: got %v, want dead and slow", got)
		}
		for tool, err := range client.Tools(t.Context(), nil) {
			if err != nil {
				t.Fatal(err)
			}
			tools = append(tools, tool.Name)
		}
		for prompt, err := range client.Prompts(t.Context(), nil) {
			if err != nil {
				t.Fatal(err)
			}
			prompts = append(prompts, prompt.Name)
		}
		for resource, err := range client.Resources(t.Context(), nil) {
			if err != nil {
				t.Fatal(err)
			}
			resources = append(resources, resource.URI)
		}
		for template, err := range client.ResourceTemplates(t.Context(), nil) {
			if err != nil {
				t.Fatal(err)
			}
			templates = append(templates, template.URITemplate)
		}
		for _, tool := range tools { // what is listed can be called
			if got, err := client.CallTool(t.Context(), &sdk.CallToolParams{Name: tool, Arguments: map[string]any{}}); err != nil || got.IsError {
				t.Errorf("%s: got %+v, %v", tool, got, err)
			}
		}
		// Both servers have two on a page: delete_all and link, then lookup and refund.
		wantNames(t, "tools", tools, "modern__link odd__one older__link modern__lookup modern__refund older__lookup older__refund")
		wantNames(t, "prompts", prompts, "modern__greet older__greet")
		wantNames(t, "resources", resources, "mintmark+modern:file:///orders/7 mintmark+older:file:///orders/7")
		wantNames(t, "templates", templates, "mintmark+modern:file:///orders/{id} mintmark+older:file:///orders/{id}")
	})
}

func TestOneEndpointCallsTheUpstreamThatIsNamed(t *testing.T) {
	eras(t, func(t *testing.T, s *several, client *sdk.ClientSession) {
		for _, name := range []string{"modern", "older"} {
			tool, err := client.CallTool(t.Context(), &sdk.CallToolParams{Name: name + "__link", Arguments: map[string]any{"order": 7}})
			if err != nil {
				t.Fatal(err)
			}
			if got := tool.Content[0].(*sdk.TextContent).Text; got != name+" link 7" {
				t.Errorf("tool: got %q", got)
			}
			link, embedded := tool.Content[1].(*sdk.ResourceLink).URI, tool.Content[2].(*sdk.EmbeddedResource).Resource.URI
			if link != "mintmark+"+name+":file:///orders/7" || embedded != "mintmark+"+name+":file:///orders/8" {
				t.Errorf("resources: got %q and %q", link, embedded)
			}
			for _, uri := range []string{link, embedded} {
				read, err := client.ReadResource(t.Context(), &sdk.ReadResourceParams{URI: uri})
				if err != nil {
					t.Fatal(err)
				}
				if got := read.Contents[0]; got.URI != uri || got.Text != name+" has it" {
					t.Errorf("resource: got %+v", got)
				}
			}
			prompt, err := client.GetPrompt(t.Context(), &sdk.GetPromptParams{Name: name + "__greet"})
			if err != nil {
				t.Fatal(err)
			}
			if got := prompt.Messages[0].Content.(*sdk.ResourceLink); got.URI != link || got.Name != name {
				t.Errorf("prompt: got %+v", got)
			}
			for _, ref := range []*sdk.CompleteReference{{Type: "ref/prompt", Name: name + "__greet"}, {Type: "ref/resource", URI: "mintmark+" + name + ":file:///orders/{id}"}} {
				completed, err := client.Complete(t.Context(), &sdk.CompleteParams{Ref: ref, Argument: sdk.CompleteParamsArgument{Name: "id", Value: "7"}})
				if err != nil {
					t.Fatal(err)
				}
				if got := completed.Completion.Values; len(got) != 1 || got[0] != name+" greet" && got[0] != name+" file:///orders/{id}" {
					t.Errorf("completion: got %q", got)
				}
			}
		}
		for _, d := range s.recorded(audit.Filter{Kind: audit.Decision}) {
			if strings.Contains(d.Tool, "__") || strings.HasPrefix(d.Tool, "mintmark+") {
				t.Errorf("record: got %q of upstream %q, want its own name", d.Tool, d.Upstream)
			}
		}
	})
}

func (s *world) recorded(f audit.Filter) (found []audit.Record) {
	s.t.Helper()
	for r, err := range audit.Query(s.logDir(), f) {
		if err != nil {
			s.t.Fatal(err)
		}
		found = append(found, r)
	}
	return found
}

// What is missing in the list is refused when it is called, in the same words at
// both endpoints.
func TestOneEndpointDeniesAsTheUpstreamsOwnDoes(t *testing.T) {
	t.Parallel()
	s := openSeveral(t)
	for _, upstream := range []string{"modern", "older", "odd", "hidden", "dead", "slow"} {
		tool := "delete_all"
		joined := upstream + "__" + tool
		got := s.do(s.stateless("tools/call", joined, `{"name":"`+joined+`"`))
		here, there := got.refusal(t), s.do(s.call(to("/mcp/"+upstream), body(toolCall(tool)))).refusal(t)
		if here.Text != there.Text || here.Code != there.Code || here.Step != "decide" || string(here.ID) != `"a"` || got.status != http.StatusOK {
			t.Errorf("%s: got %+v at /mcp and %+v at /mcp/%s", upstream, here, there, upstream)
		}
		if d := s.decision(here.Call); d.Allow || d.Upstream != upstream || d.Tool != tool || d.Fault != "denied" || !strings.Contains(d.Reason, `"nobody-deletes"`) {
			t.Errorf("%s: record: got %+v", upstream, d)
		}
	}
	if n := s.upstream.taken() + s.odd.taken(); n != 0 {
		t.Errorf("%d requests reached an upstream, want none", n)
	}
}

func TestOneEndpointHasNoOtherNames(t *testing.T) {
	t.Parallel()
	s := openSeveral(t)
	for _, name := range []string{"lookup", "modern", "modern_lookup", "modern__", "__lookup", "MODERN__lookup", "mintmark+modern:x"} {
		got := s.do(s.stateless("tools/call", name, `{"name":"`+name+`"`))
		said := got.refusal(t)
		if said.Code != -32602 || !strings.Contains(said.Text, "NAME__TOOL") || strings.Contains(said.Text, "older") || strings.Contains(said.Text, "hidden") {
			t.Errorf("%s: got %d %+v", name, got.status, said)
		}
		if d := s.decision(said.Call); d.Allow || d.Upstream != "" || d.Tool != name {
			t.Errorf("%s: record: got %+v", name, d)
		}
	}
	for _, uri := range []string{"file:///orders/7", "mintmark+modern", "mintmark+modern:", "modern__x"} {
		if said := s.do(s.stateless("resources/read", uri, `{"uri":"`+uri+`"`)).refusal(t); said.Code != -32602 {
			t.Errorf("%s: got %+v", uri, said)
		}
	}
}

// A name is the upstream's own, whatever is in it, and arguments reach it byte for
// byte.
func TestOneEndpointKeepsOddNames(t *testing.T) {
	t.Parallel()
	s := openSeveral(t)
	odd := []string{"_x", "__x", "a__b", "modern__lookup", "größe/ä b", "a.b-c", "mintmark+odd:x", `q"\\u0041`}
	s.odd.answers("tools/list", func(rpc) string {
		var tools []string
		for _, name := range odd {
			tools = append(tools, `{"name":`+string(mustQuote(t, name))+`,"inputSchema":{"type":"object"}}`)
		}
		return `{"tools":[` + strings.Join(tools, ",") + `]}`
	})
	s.odd.answers("tools/call", func(rpc) string { return `{"content":[]}` })
	listed := s.do(s.stateless("tools/list", "", "{")).merged(t).names()
	for _, name := range odd {
		if !slices.Contains(listed, "odd__"+name) {
			t.Errorf("list: got %q, want odd__%s in it", listed, name)
		}
		quoted := string(mustQuote(t, "odd__"+name))
		arguments := `"arguments" : { "n":12345678901234567890.10, "\u0062":"\u00e9 ", "uri":"mintmark+odd:x"}`
		s.wantOK(s.stateless("tools/call", mcp.HeaderValue("odd__"+name), `{"name":`+quoted+`,`+arguments, with("Mcp-Param-N", "1")), `"id":"a"`)
		got := s.odd.last(t, "tools/call")
		if got.Params.Name != name || !strings.Contains(got.raw, strings.SplitN(arguments, " : ", 2)[1]) || string(got.ID) != `"a"` {
			t.Errorf("%s: the upstream got %s", name, got.raw)
		}
		if got.header.Get("Mcp-Param-N") != "1" || got.header.Get("Authorization") == "" {
			t.Errorf("%s: headers: got %v", name, got.header)
		}
		if want := mcp.HeaderValue(name); got.header.Get("Mcp-Name") != want {
			t.Errorf("%s: Mcp-Name: got %q, want %q", name, got.header.Get("Mcp-Name"), want)
		}
	}
}

func TestOneEndpointPagesAcrossUpstreams(t *testing.T) {
	t.Parallel()
	s := openSeveral(t)
	s.odd.answers("tools/list", func(m rpc) string {
		next := map[string]string{"": "page.2", "page.2": "page.3", "page.3": ""}
		page := `{"tools":[{"name":"of_` + m.Params.Cursor + `"}]`
		if next[m.Params.Cursor] != "" {
			page += `,"nextCursor":"` + next[m.Params.Cursor] + `"`
		}
		return page + "}"
	})
	var pages []string
	cursor := ""
	for range 5 {
		params := "{"
		if cursor != "" {
			params = `{"cursor":"` + cursor + `"`
		}
		got := s.wantOK(s.stateless("tools/list", "", params), `"private"`).merged(t)
		pages = append(pages, strings.Join(got.names(), " "))
		if cursor = got.Result.NextCursor; cursor == "" {
			break
		}
		if strings.Contains(cursor, "page.") {
			t.Errorf("cursor: got %q, want it sealed", cursor)
		}
		s.wantCursorRefused(cursor)
	}
	wantNames(t, "pages", pages, "modern__link odd__of_ older__link modern__lookup modern__refund odd__of_page.2 older__lookup older__refund odd__of_page.3")
}

// wantCursorRefused uses a cursor of the shop's list of tools where it is for
// nothing.
func (s *several) wantCursorRefused(cursor string) {
	s.t.Helper()
	params := `{"cursor":"` + cursor + `"`
	for what, r := range map[string]request{
		"another agent":  s.stateless("tools/list", "", params, s.as("clerk")),
		"another list":   s.stateless("prompts/list", "", params),
		"a changed one":  s.stateless("tools/list", "", `{"cursor":"A`+cursor[1:]+`x"`),
		"one made up":    s.stateless("tools/list", "", `{"cursor":"page.2"`),
		"one no string":  s.stateless("tools/list", "", `{"cursor":7`),
		"a session's":    s.stateless("tools/list", "", `{"cursor":"`+s.begunHere()+`"`),
		"the other way":  s.call(to("/mcp"), with("Mcp-Session-Id", cursor), body(`{"jsonrpc":"2.0","id":1,"method":"ping"}`)),
		"a single one's": s.call(to("/mcp/odd"), with("Mcp-Session-Id", cursor), body(`{"jsonrpc":"2.0","id":1,"method":"ping"}`)),
	} {
		got := s.do(r)
		if said := got.refusal(s.t); said.Code == 0 || strings.Contains(got.body, "of_") {
			s.t.Errorf("%s: got %d %q", what, got.status, got.body)
		}
	}
}

// An upstream that fails in another way than by silence is missing too, and
// nothing that it says gets through.
func TestOneEndpointLeavesOutWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	s := openSeveral(t)
	for what, result := range map[string]string{
		"twice":      `{"tools":[{"name":"x"}],"tools":[{"name":"y"}]}`,
		"folded":     `{"tools":[{"name":"x"}],"Tools":[{"name":"y"}]}`,
		"no array":   `{"tools":{"name":"x"}}`,
		"no object":  `[]`,
		"long":       `{"tools":[],"nextCursor":"` + strings.Repeat("x", 5000) + `"}`,
		"not at all": `{"tools":`,
	} {
		s.odd.answers("tools/list", func(rpc) string { return result })
		got := s.wantOK(s.stateless("tools/list", "", "{"), "modern__link").merged(t)
		wantNames(t, what, got.Result.Meta.Unavailable, "dead odd slow")
		wantNames(t, what, got.names(), "modern__link older__link")
	}
	s.odd.answers("tools/list", func(rpc) string {
		return `{"tools":[7,{"name":""},{"name":"ok"},{"name":"` + strings.Repeat("x", 4094) + `"}]}`
	})
	wantNames(t, "entries", s.do(s.stateless("tools/list", "", "{")).merged(t).names(), "modern__link odd__ok older__link")
}

// A list waits for an upstream that does not say which form of MCP it speaks, and those of a
// while after it do not. An agent that may not ask that is listed what it was before.
func TestOneEndpointWaitsOnceForWhatIsNotSaid(t *testing.T) {
	t.Parallel()
	s := openSeveral(t)
	if err := s.change("policies.cedar", `@id("connects")`, clerkMayNotAsk+`@id("connects")`); err != nil {
		t.Fatal(err)
	}
	s.odd.answers("tools/list", func(rpc) string { return `{"tools":[{"name":"ok"}]}` })
	var asked atomic.Int64
	free := s.world.upstream.free
	s.odd.handles("server/discover", func(http.ResponseWriter, *http.Request) { asked.Add(1); <-free.Done() })
	for range 3 {
		got := s.wantOK(s.stateless("tools/list", "", "{"), "modern__link").merged(t)
		wantNames(t, "missing", got.Result.Meta.Unavailable, "dead odd slow")
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("got %d questions in three lists, want one", n)
	}
	wantNames(t, "missing for who may not ask", s.wantOK(s.stateless("tools/list", "", "{", s.as("clerk")), "odd__ok").merged(t).Result.Meta.Unavailable, "dead slow")
	s.await("why on record", func() bool {
		for _, r := range s.recorded(audit.Filter{Upstream: "odd"}) {
			if r.Method == "tools/list" && strings.Contains(r.Reason, "it was not asked again") && r.Fault == "bad_upstream" {
				return true
			}
		}
		return false
	})
	s.odd.handles("server/discover", nil)
	s.odd.answers("tools/call", func(rpc) string { return `{"resultType":"complete","content":[]}` })
	s.scan.state(s.id("shop"), "pass", time.Now())
	s.wantOK(s.stateless("tools/call", "odd__ok", `{"name":"odd__ok"`), `"content":[]`) // a call asks meanwhile
	got := s.do(s.stateless("tools/list", "", "{")).merged(t).names()
	if !slices.Contains(got, "odd__ok") {
		t.Errorf("once it said so: got %v, want odd__ok among them", got)
	}
}

func TestOneEndpointIsOnRecord(t *testing.T) {
	t.Parallel()
	s := openSeveral(t)
	s.odd.answers("tools/list", func(rpc) string { return `{"tools":[]}` })
	s.wantOK(s.stateless("tools/list", "", "{"), "modern__link")
	s.await("the list's outcome", func() bool { return len(s.ownOutcomes("tools/list")) == 1 })
	own := s.ownOutcomes("tools/list")[0]
	if own.Fault != fault.Unavailable.String() || own.Reason != "missing in the list: dead, slow" {
		t.Errorf("outcome of the whole: got %+v", own)
	}
	allowed := map[string]bool{}
	for _, r := range s.ofCall(own.Call) {
		if r.Upstream == "hidden" || r.Upstream == "api" {
			t.Errorf("got a record of %s, want none", r.Upstream)
		}
		if r.Kind == audit.Decision && r.Method == "tools/list" && r.Allow {
			allowed[r.Upstream] = true
		}
	}
	for _, upstream := range []string{"", "modern", "older", "odd"} {
		if !allowed[upstream] {
			t.Errorf("got no allowed decision on upstream %q", upstream)
		}
	}
	// Nothing at all reaches an upstream for an agent that may ask none.
	for _, method := range []string{"tools/list", "server/discover"} {
		said := s.do(s.stateless(method, "", "{", s.as("guest"))).refusal(t)
		if said.Kind != fault.Denied.String() || !strings.Contains(said.Text, "no upstream permits "+method) {
			t.Errorf("%s: got %+v", method, said)
		}
		if d := s.decision(said.Call); d.Allow || d.Method != method || !slices.Contains(d.Policies, "nothing-for-the-guest-at-all") {
			t.Errorf("%s: record: got %+v", method, d)
		}
	}
}

func (s *several) ownOutcomes(method string) []audit.Record {
	return slices.DeleteFunc(s.recorded(audit.Filter{Kind: audit.Outcome}), func(r audit.Record) bool { return r.Upstream != "" || r.Method != method })
}

func TestOneEndpointMasksSecrets(t *testing.T) {
	t.Parallel()
	s := openSeveral(t)
	s.odd.handles("tools/call", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		secret := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		_, _ = w.Write([]byte("data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"data\":\"" + secret + "\"}}\n\n" +
			"data: {\"jsonrpc\":\"2.0\",\"id\":\"a\",\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"" + secret + "\"}]}}\n\n"))
	})
	s.odd.answers("tools/list", func(m rpc) string {
		return `{"tools":[{"name":"x","description":"` + strings.TrimPrefix(m.header.Get("Authorization"), "Bearer ") + `"}]}`
	})
	s.wantOK(s.stateless("tools/list", "", "{"), "****")
	got := s.wantOK(s.stateless("tools/call", "odd__x", `{"name":"odd__x"`), "****")
	if strings.Count(got.body, "data: ") != 2 {
		t.Errorf("got %q, want both messages", got.body)
	}
}
