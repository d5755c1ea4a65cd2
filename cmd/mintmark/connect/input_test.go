package connect_test

import (
	"net/http"
	"strings"
	"testing"

	"mintmark/cmd/mintmark/connect"
)

// What can't be read in one way only is not sent, and the client hears why,
// under the id of its request where that is certain.
func TestRefusedLines(t *testing.T) {
	f := newFake(t, func(http.ResponseWriter, request) {})
	c := f.run(connect.Options{MaxMessage: 30_000})
	long := strings.Repeat("x", 40_000)
	for _, tt := range []struct {
		line  string
		id    any
		code  int
		words string
	}{
		{`hello`, nil, -32700, "JSON"},
		{`{"jsonrpc":"2.0","id":1,"method":"ping"`, 1.0, -32700, ""},
		{`{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}`, nil, -32700, "once"},
		{`{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"a","name":"b","id":7}}`, 3.0, -32700, "once"},
		{`{"jsonrpc":"2.0","id":"4","method":"tools/call","params":{}}`, "4", -32602, "name"},
		{`{"jsonrpc":"2.0","id":1.5,"method":"ping"}`, nil, -32600, "integer"},
		{`{"jsonrpc":"1.0","id":5,"method":"ping"}`, 5.0, -32600, "2.0"},
		{`{"id":6,"method":"ping","params":{"a":` + strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001) + `},"jsonrpc":"2.0"}`, 6.0, -32700, "nesting"},
		{`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"` + long + `"}}`, 7.0, -31413, "--max-message"},
		{`{"method":"tools/call","params":{"a":{"id":1},"b":["id",{"x":"}\""}],"c":"` + long + `"},"jsonrpc":"2.0","id":"8\u0041"}`, "8A", -31413, "30000"},
		{long, nil, -31413, "longer"},
	} {
		c.send(tt.line)
		c.wantError(tt.id, tt.code, tt.words)
	}
	if len(f.seen) > 0 {
		t.Errorf("got %+v, want nothing sent", f.next())
	}
}

// An answer to the server has an id of the server's: an error under it would
// answer another request of the client.
func TestRefusedAnswerIsNotAnswered(t *testing.T) {
	f := newFake(t, func(w http.ResponseWriter, _ request) { inform(w, http.StatusOK, result("1")) })
	c := f.run(connect.Options{MaxMessage: 1000})
	c.send(`{"jsonrpc":"2.0","id":1,"result":{"x":"`+strings.Repeat("x", 2000)+`"}}`, `{"jsonrpc":"2.0","id":1,"error":{},"result":{}}`, ping)
	c.want(result("1"))
}

// Lines may be empty, end in CR LF, or lack their end at the end.
func TestEndsOfLines(t *testing.T) {
	f := newFake(t, func(w http.ResponseWriter, _ request) { inform(w, http.StatusOK, result("1")) })
	c := f.run(connect.Options{})
	c.send("", " \t\r", ping+"\r")
	c.want(result("1"))
	if r := f.next(); r.body != ping+"\r" {
		t.Errorf("got %q, want the line without its newline", r.body)
	}
	if _, err := c.in.Write([]byte(ping)); err != nil {
		t.Fatal(err)
	}
	if err := c.close(); err != nil {
		t.Errorf("end: got %v", err)
	}
	c.want(result("1"))
}

// A line as long as a message may be is sent.
func TestLongestLine(t *testing.T) {
	f := newFake(t, func(w http.ResponseWriter, _ request) { inform(w, http.StatusOK, result("1")) })
	c := f.run(connect.Options{MaxMessage: 200_000})
	line := ping[:len(ping)-1] + strings.Repeat(" ", 200_000-len(ping)) + "}"
	c.send(line)
	c.want(result("1"))
	c.send(line + " ")
	c.wantError(1.0, -31413)
}
