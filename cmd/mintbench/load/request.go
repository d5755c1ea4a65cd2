package load

import (
	"bytes"
	"fmt"
	"strings"

	"mintmark/cmd/mintbench/wire"
)

// Marker is in the text of each good answer of the benchmark's upstream. An
// error that a gateway answers under status 200 does not have it.
const Marker = "mintbench: done"

// Progress is in the first event of an answer that is held open.
const Progress = "notifications/progress"

// firstID is added to a call's number to make the id of its message, so that
// all ids are of one length.
const firstID = 100_000_000_000

// Call describes calls of one agent to one tool, by MCP's stateless revision.
type Call struct {
	Host    string
	Path    string
	Headers []string // "Name: value", added to those of the protocol
	Tool    string
	Text    int // bytes of the tool's argument
}

// Template is the bytes of a call, ready but for its number.
type Template struct {
	message     []byte
	trace, name int // where the trace id and the message id stand
}

// Template returns c for the calls that n numbers.
func (c Call) Template(n *Numbers) Template {
	body := fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"_meta":{`+
		`"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}},`+
		`"name":%q,"arguments":{"text":%q}}}`, firstID, c.Tool, strings.Repeat("x", c.Text))
	var b bytes.Buffer
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: %s\r\n", c.Path, c.Host)
	b.WriteString("Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n")
	fmt.Fprintf(&b, "Mcp-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: %s\r\n", c.Tool)
	for _, h := range c.Headers {
		b.WriteString(h + "\r\n")
	}
	b.WriteString("Traceparent: 00-" + n.run)
	trace := b.Len()
	fmt.Fprintf(&b, "%016x-0000000000000001-01\r\nContent-Length: %d\r\n\r\n", 0, len(body))
	id := b.Len() + strings.Index(body, fmt.Sprint(firstID))
	b.WriteString(body)
	return Template{message: b.Bytes(), trace: trace, name: id}
}

// appendTo appends the message of the call with this number to out.
func (t *Template) appendTo(out []byte, number uint64) []byte {
	start := len(out)
	out = append(out, t.message...)
	const hex = "0123456789abcdef"
	for i, n := t.trace+15, number; i >= t.trace; i, n = i-1, n>>4 {
		out[start+i] = hex[n&15]
	}
	for i, n := t.name+11, firstID+number; i >= t.name; i, n = i-1, n/10 {
		out[start+i] = byte('0' + n%10)
	}
	return out
}

// check returns nil when the answer is the one to the call with this number.
func check(h *wire.Head, body []byte, number uint64) error {
	status, err := h.Status()
	switch {
	case err != nil:
		return err
	case status != 200:
		return fmt.Errorf("got status %d and %.300q, want 200", status, body)
	case !bytes.Contains(body, []byte(Marker)):
		return fmt.Errorf("got %.300q, want a result with %q", body, Marker)
	case !hasID(body, number):
		return fmt.Errorf("got %.300q, want the answer with id %d", body, firstID+number)
	}
	return nil
}

func hasID(body []byte, number uint64) bool {
	var id [12]byte
	for i, n := len(id)-1, firstID+number; i >= 0; i, n = i-1, n/10 {
		id[i] = byte('0' + n%10)
	}
	_, rest, found := bytes.Cut(body, []byte(`"id":`))
	return found && bytes.HasPrefix(bytes.TrimLeft(rest, " "), id[:])
}
