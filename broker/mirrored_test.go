package broker_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"mintmark/injector/mcp"
)

// keepsSessions makes s a server of an earlier revision.
func keepsSessions(s *scripted) {
	s.handles("server/discover", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "Bad Request", http.StatusBadRequest) })
	s.handles("initialize", func(w http.ResponseWriter, r *http.Request) {
		content, _ := io.ReadAll(r.Body)
		var m rpc
		_ = json.Unmarshal(content, &m)
		w.Header().Set("Mcp-Session-Id", "session-of-odd")
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"o","version":"1"}}}`, m.ID)
	})
	s.handles("notifications/initialized", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })
}

// mirrors are the headers in which a client repeats two arguments.
var mirrors = http.Header{"Mcp-Param-Region": {"eu west"}, "Mcp-Param-Size": {"=?base64?Z3LDtsOfZQ==?="}}

func mirroring(r *request) { maps.Copy(r.header, mirrors) }

// mirrored returns a call of a tool of odd that repeats arguments, by an agent of
// either era at either endpoint.
func (s *several) mirrored(path string, stateless bool) request {
	s.t.Helper()
	tool := "x"
	if path == "/mcp" {
		tool = "odd__x"
	}
	if stateless {
		return s.stateless("tools/call", tool, `{"name":"`+tool+`","arguments":{"region":"eu west","size":"größe"}`, to(path), mirroring)
	}
	handle := ""
	if path == "/mcp" {
		handle = s.begunHere()
	} else {
		handle = s.session("odd", `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}`)
	}
	return s.call(to(path), with("Mcp-Session-Id", handle), mirroring,
		body(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"`+tool+`","arguments":{"region":"eu west","size":"größe"}}}`))
}

// The headers that repeat single arguments reach who can read them: a server of
// the agent's own era, and at /mcp a stateless one. Between eras nobody can.
func TestWhereMirroredArgumentsArrive(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		path            string
		agent, upstream string
		arrive          bool
	}{
		{path: "/mcp/odd", agent: "stateless", upstream: "stateless", arrive: true},
		{path: "/mcp/odd", agent: "stateless", upstream: "sessions"},
		{path: "/mcp/odd", agent: "sessions", upstream: "stateless"},
		{path: "/mcp/odd", agent: "sessions", upstream: "sessions", arrive: true}, // byte for byte, as everything else
		{path: "/mcp", agent: "stateless", upstream: "stateless", arrive: true},
		{path: "/mcp", agent: "stateless", upstream: "sessions"},
		{path: "/mcp", agent: "sessions", upstream: "stateless"},
		{path: "/mcp", agent: "sessions", upstream: "sessions"},
	} {
		t.Run(c.agent+" at "+c.path+" to "+c.upstream, func(t *testing.T) {
			s := openSeveral(t)
			if c.upstream == "sessions" {
				keepsSessions(s.odd)
			}
			s.odd.answers("tools/call", func(rpc) string { return `{"content":[]}` })
			s.wantOK(s.mirrored(c.path, c.agent == "stateless"), `"content":[]`)
			got := s.odd.last(t, "tools/call")
			if !strings.Contains(got.raw, `"arguments":{"region":"eu west","size":"größe"}`) {
				t.Errorf("arguments: got %s, want them as they came", got.raw)
			}
			maps.DeleteFunc(got.header, func(name string, _ []string) bool { return !strings.HasPrefix(name, mcp.PrefixParam) })
			want := http.Header{}
			if c.arrive {
				want = mirrors
			}
			if !maps.EqualFunc(got.header, want, slices.Equal) {
				t.Errorf("headers: got %v, want %v", got.header, want)
			}
		})
	}
}

// Two readers could take either of two values, so that a header that comes twice
// is refused everywhere, before anything is asked of the upstream.
func TestAMirroredArgumentComesOnce(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/mcp/odd", "/mcp"} {
		for _, stateless := range []bool{true, false} {
			s := openSeveral(t)
			keepsSessions(s.odd)
			call := s.mirrored(path, stateless)
			before := s.odd.taken()
			with("Mcp-Param-Region", "eu west", "us east")(&call)
			got := s.do(call)
			if said := got.refusal(t); got.status != 400 || said.Code != -32020 || !strings.Contains(said.Text, "Mcp-Param-Region") {
				t.Errorf("%s, stateless %t: got %d %s", path, stateless, got.status, got.body)
			}
			if n := s.odd.taken() - before; n != 0 {
				t.Errorf("%s, stateless %t: %d messages reached the upstream, want none", path, stateless, n)
			}
		}
	}
}

// A server that misses a header says so, and its word reaches the agent as it is:
// with the status where the agent's era has one for it.
func TestAServersWordOfAMissingHeaderPasses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		path      string
		stateless bool
		status    int
	}{{"/mcp/odd", true, 400}, {"/mcp", true, 400}, {"/mcp/odd", false, 200}, {"/mcp", false, 200}} {
		s := openSeveral(t)
		s.odd.handles("tools/call", func(w http.ResponseWriter, r *http.Request) {
			content, _ := io.ReadAll(r.Body)
			var m rpc
			_ = json.Unmarshal(content, &m)
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":{"code":-32020,"message":"Mcp-Param-Zone: expected one"}}`, m.ID)
		})
		got := s.do(s.mirrored(c.path, c.stateless))
		if got.status != c.status || !strings.Contains(got.body, `"code":-32020,"message":"Mcp-Param-Zone: expected one"`) {
			t.Errorf("%s, stateless %t: got %d %s, want %d", c.path, c.stateless, got.status, got.body, c.status)
		}
	}
}
