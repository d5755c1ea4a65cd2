package mcp_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"mintmark/injector/mcp"
)

// members writes n members of an object, each under a name of its own.
func members(n int, prefix string) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"%s%d":0`, prefix, i)
	}
	return b.String()
}

// nested writes objects in one another, each with n members before the next.
func nested(depth, n int) string {
	var b strings.Builder
	for i := range depth {
		b.WriteString("{" + members(n, string(rune('a'+i))) + `,"next":`)
	}
	return b.String() + "0" + strings.Repeat("}", depth)
}

// Names are kept to find one that stands twice, so that there is an end to how many
// there may be, whoever sends them and whether or not the object is looked into.
func TestObjectsOfManyMembers(t *testing.T) {
	call := func(arguments string) string {
		return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","arguments":` + arguments + `}}`
	}
	answer := func(content string) string {
		return `{"jsonrpc":"2.0","id":1,"result":{"structuredContent":` + content + `}}`
	}
	for name, c := range map[string]struct {
		value string
		ok    bool
	}{
		"as many as may be":     {"{" + members(60_000, "m") + "}", true},
		"many in one":           {"{" + members(70_000, "m") + "}", false},
		"many within another":   {`[[{"a":{` + members(70_000, "m") + "}}]]", false},
		"many in one another":   {nested(20, 5_000), false},
		"many beside another":   {"[" + strings.TrimSuffix(strings.Repeat("{"+members(1_000, "m")+"},", 100), ",") + "]", true},
		"colons within strings": {`["` + strings.Repeat(`:\":`, 100_000) + `"]`, true},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := mcp.NewReader(64).Read([]byte(call(c.value)))
			wantMembers(t, "a call", err, c.ok)
			_, err = mcp.ReadAnswer([]byte(answer(c.value)))
			wantMembers(t, "an answer", err, c.ok)
			_, err = mcp.FilterLists([]byte("["+answer(c.value)+"]"), func(mcp.Entry) bool { return true })
			wantMembers(t, "a batch of answers", err, c.ok)
		})
	}
}

func wantMembers(t *testing.T, what string, err error, ok bool) {
	t.Helper()
	if ok {
		if err != nil {
			t.Errorf("%s: got %v, want it read", what, err)
		}
		return
	}
	if e, is := errors.AsType[*mcp.Error](err); !is || !strings.Contains(e.Message, "expected at most 65536 members in an object and those that it stands in, got more at byte ") {
		t.Errorf("%s: got %v, want too many members", what, err)
	}
}

func TestManyMembersCostLittle(t *testing.T) {
	message := []byte(`{"jsonrpc":"2.0","id":1,"result":{"structuredContent":{` + members(1_500_000, "") + `}}}`)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := mcp.ReadAnswer(message)
	runtime.ReadMemStats(&after)
	wantMembers(t, "an answer", err, false)
	if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
		t.Errorf("got %d KiB for an answer of %d MiB, want next to nothing", got>>10, len(message)>>20)
	}
}
