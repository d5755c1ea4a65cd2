package connect_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"mintmark/cmd/mintmark/connect"
)

// Whatever a line holds, it is answered under its own id or under none: never
// under that of an answer, or of something inside it.
func FuzzSkim(f *testing.F) {
	for _, seed := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"ping"}`,
		`{"method":"a","params":{"id":9,"b":["id",{"id":"x"}]},"id":"\"q\\"}`,
		`{"id":1,"id":2,"method":"a"}`, `{"id":null,"method":"a"}`, `{"id":{"id":3},"method":"a"}`, `{"\u0069d":1,"method":"a"}`,
		`{"id":1,"result":{"method":"x"}}`, `[{"id":1,"method":"a"}]`, `{"id":-0,"method":"a"`, `"id":1,"method":"a"`, `}{"id":1,"method":"a"}`,
	} {
		f.Add([]byte(seed), uint(len(seed)/2))
	}
	f.Fuzz(func(t *testing.T, line []byte, at uint) {
		got := connect.SkimID(line)
		cut := int(at % uint(len(line)+1))
		if pieces := connect.SkimID(line[:cut], line[cut:]); !bytes.Equal(pieces, got) || (pieces == nil) != (got == nil) {
			t.Errorf("%q: got id %q whole, and %q in pieces", line, got, pieces)
		}
		if got != nil && (len(got) > 128 || !jsontext.Value(got).IsValid() || bytes.ContainsAny(got, "\r\n")) {
			t.Errorf("%q: got id %q", line, got)
		}
		var m struct {
			ID     jsontext.Value  `json:"id"`
			Method *jsontext.Value `json:"method"`
			Result *jsontext.Value `json:"result"`
			Error  *jsontext.Value `json:"error"`
		}
		if json.Unmarshal(line, &m) != nil || bytes.Contains(line, []byte(`\u00`)) {
			return // no JSON, or a name in disguise
		}
		want := m.ID
		if kind := want.Kind(); m.Method == nil || m.Result != nil || m.Error != nil || kind != '"' && kind != '0' || len(want) > 128 {
			want = nil
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%q: got id %q, want %q", line, got, want)
		}
	})
}

// Events do not depend on how their bytes arrive, and what is written as one is
// read as one.
func FuzzEvents(f *testing.F) {
	f.Add([]byte("id: 1\r\nevent: message\r\ndata: {}\r\n\r\n: c\n\nretry: 5\ndata\ndata:\n\n"), "a\nb")
	f.Add([]byte("\ufeffdata: x\n\ndata: unended"), "")
	f.Add([]byte("data: "+strings.Repeat("x", 200)+"\n\n"), "\u2028")
	f.Fuzz(func(t *testing.T, text []byte, message string) {
		const limit = 100
		whole, err := connect.Events(bytes.NewReader(text), limit)
		pieces, err2 := connect.Events(iotest.OneByteReader(bytes.NewReader(text)), limit)
		if !slices.Equal(whole, pieces) || (err == nil) != (err2 == nil) {
			t.Errorf("%q: got %q, %v whole, and %q, %v in pieces", text, whole, err, pieces, err2)
		}
		for _, e := range whole {
			if len(e.Data) > limit || strings.ContainsAny(e.ID, "\r\n\x00") {
				t.Errorf("%q: got %q", text, e)
			}
		}
		if strings.ContainsAny(message, "\r") {
			return
		}
		written := "data: " + strings.ReplaceAll(message, "\n", "\ndata: ") + "\n\n"
		if got, err := connect.Events(strings.NewReader(written), len(written)); err != nil || len(got) != 1 || got[0].Data != message {
			t.Errorf("%q: got %q, %v, want it back", message, got, err)
		}
	})
}

// A message on one line is the same message.
func FuzzOneLine(f *testing.F) {
	f.Add([]byte("{\n \"a\" : [1.50, \"x\\n\u2028\"],\r\n\"a\":-0e1}"))
	f.Add([]byte("\"a\nb\""))
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, message []byte) {
		before := bytes.Clone(message)
		got, err := connect.OneLine(message)
		if !bytes.Equal(message, before) {
			t.Errorf("%q: it was changed to %q", before, message)
		}
		if err != nil {
			return
		}
		a, b := jsontext.Value(bytes.Clone(message)), jsontext.Value(bytes.Clone(got))
		if bytes.ContainsAny(got, "\r\n") || (a.Compact() == nil) != (b.Compact() == nil) || !bytes.Equal(a, b) {
			t.Errorf("%q: got %q", message, got)
		}
	})
}

func TestKeysOfIDs(t *testing.T) {
	for id, want := range map[string]string{
		`1`: "1", `1.0`: "1", `10e-1`: "1", `-7`: "-7", `"1"`: `"1`, `"\u0031"`: `"1`, `"a b"`: `"a b`,
		`1.5`: "", `null`: "", `true`: "", ``: "", `{}`: "", `9007199254740993`: "", `"`: "",
	} {
		if got := connect.KeyOf([]byte(id)); got != want {
			t.Errorf("%s: got %q, want %q", id, got, want)
		}
	}
}
