package broker_test

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkCallBodies is an allowed call with a body of 64 KiB, or an answer, or
// both: of one long string, as a file's text is, and of many short members.
// "go test -bench Call/64KB" has it.
func BenchmarkCallBodies(b *testing.B) {
	const size = 64 << 10
	one := `{"text":"` + strings.Repeat("x", size) + `"}`
	var many strings.Builder
	for i := 0; many.Len() < size; i++ {
		fmt.Fprintf(&many, `,"member %d":{"n":%d,"of":"some \"text\", as it is"}`, i, i)
	}
	members := "{" + many.String()[1:] + "}"
	for _, tc := range []struct{ name, arguments, result string }{
		{"asked", one, `{"content":[]}`},
		{"asked, members", members, `{"content":[]}`},
		{"answered", `{"order":"7"}`, one},
		{"answered, members", `{"order":"7"}`, members},
		{"both", one, one},
	} {
		b.Run("64KB "+tc.name, func(b *testing.B) {
			answer := `{"jsonrpc":"2.0","id":1,"result":` + tc.result + `}`
			w := open(b, func(s *setup) {
				s.Quiet, s.Upstream, s.Audit, s.Limits = true, newUpstreamOf(b, answer), "segment_size: 1GiB", "body: 1MiB, shutdown: 5s"
			})
			w.unread = true // as in BenchmarkCall
			call := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"lookup_order","arguments":` + tc.arguments + `}}`
			request := w.call(body(call)).bytes(w.plain)
			b.ReportAllocs()
			b.SetBytes(int64(len(call) + len(answer)))
			b.RunParallel(func(p *testing.PB) {
				c := w.keepAlive()
				for p.Next() {
					if err := c.exchanges(request, len(answer)); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
