package injector_test

import (
	"net/http"
	"testing"

	"mintmark/injector"
	"mintmark/injector/mcp"
)

// TestStripAllocs holds what stripping an ordinary call may allocate: the
// headers that go on, and the list of those that do not.
func TestStripAllocs(t *testing.T) {
	in := http.Header{
		"Authorization": {"Bearer agent"}, "Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}, "Traceparent": {"00-1-2-01"},
		mcp.HeaderVersion: {mcp.Stateless}, mcp.HeaderMethod: {"tools/call"}, mcp.HeaderName: {"echo"}, "Content-Length": {"400"},
	}
	out, stripped := injector.Strip(in, false, injector.Bearer{})
	if len(out) != 6 || len(stripped) != 1 {
		t.Fatalf("got %v and %v, want six headers and one that was stripped", out, stripped)
	}
	if n := testing.AllocsPerRun(100, func() { injector.Strip(in, false, injector.Bearer{}) }); n > 3 {
		t.Errorf("got %v allocations, want at most 3", n)
	}
}
