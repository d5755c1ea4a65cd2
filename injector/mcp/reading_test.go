package mcp_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"mintmark/injector/mcp"
)

// reading is what a reader makes of one message: the canonical form of each
// value that says what is called, by the names below; what is not there has
// none. A message may be judged by one reading only when all readers have it.
type reading map[string]string

// reader is a way to read a body, by other code than Mintmark's.
type reader struct {
	name string
	read func(body []byte) ([]reading, error)
}

// canonical returns a text that two values of JSON have in common only when
// they are the same to programs: names in any order, strings by what they spell,
// numbers as the 64-bit float nearest to them.
//
//	n t f   null, true, false
//	#HEX    the bits of a number
//	sHEX    the bytes of a string in UTF-8
//	[…,…]   an array
//	{HEX:…} an object, by name
func canonical(v any) string {
	switch v := v.(type) {
	case nil:
		return "n"
	case bool:
		return strconv.FormatBool(v)[:1]
	case json.Number:
		f, _ := strconv.ParseFloat(v.String(), 64) // out of range: infinite
		return canonical(f)
	case int64:
		return canonical(float64(v))
	case float64:
		return fmt.Sprintf("#%016x", math.Float64bits(v+0)) // -0 is 0
	case string:
		return "s" + hex.EncodeToString([]byte(v))
	case []any:
		items := make([]string, len(v))
		for i := range v {
			items[i] = canonical(v[i])
		}
		return "[" + strings.Join(items, ",") + "]"
	case map[string]any:
		members := make([]string, 0, len(v))
		for name, value := range v {
			members = append(members, hex.EncodeToString([]byte(name))+":"+canonical(value))
		}
		slices.Sort(members)
		return "{" + strings.Join(members, ",") + "}"
	}
	panic(fmt.Sprintf("canonical form of a %T", v))
}

// canonicalText returns the canonical form of a text of JSON, read token by
// token.
func canonicalText(t testing.TB, text []byte) string {
	t.Helper()
	d := jsontext.NewDecoder(bytes.NewReader(text))
	v, err := tokens(d)
	if err == nil {
		_, err = d.ReadToken()
	}
	if !errors.Is(err, io.EOF) {
		t.Fatalf("read %q: %v", text, err)
	}
	return canonical(v)
}

func tokens(d *jsontext.Decoder) (any, error) {
	token, err := d.ReadToken()
	if err != nil {
		return nil, err
	}
	switch token.Kind() {
	case 'n':
		return nil, nil
	case 't', 'f':
		return token.Bool(), nil
	case '"':
		return token.String(), nil
	case '0':
		return json.Number(token.String()), nil
	case '[':
		items := []any{}
		for d.PeekKind() != ']' {
			item, err := tokens(d)
			if err != nil {
				return nil, err
			}
			items = append(items, item)
		}
		_, err := d.ReadToken()
		return items, err
	}
	members := map[string]any{}
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return nil, err
		}
		text := name.String() // the next token takes its place
		if members[text], err = tokens(d); err != nil {
			return nil, err
		}
	}
	_, err = d.ReadToken()
	return members, err
}

// judged returns the reading that Mintmark judges m by.
func judged(t testing.TB, m mcp.Message) reading {
	t.Helper()
	r := reading{"jsonrpc": canonical("2.0"), "whole": canonicalText(t, m.Raw)}
	text := func(name, value string) {
		if value != "" {
			r[name] = canonical(value)
		}
	}
	if m.ID != nil {
		r["id"] = canonicalText(t, m.ID)
	}
	if m.Kind != mcp.Response {
		text("method", m.Method)
	}
	if m.Arguments != nil {
		r["arguments"] = canonicalText(t, m.Arguments)
	}
	text("version", m.Version)
	text("initialize", m.Initialize)
	text(targetName(m), m.Target)
	return r
}

// targetName returns what a reading calls the target of m.
func targetName(m mcp.Message) string {
	if m.Method == "completion/complete" {
		return map[mcp.TargetKind]string{mcp.Prompt: "refName", mcp.Resource: "refURI"}[m.TargetOf]
	}
	return map[mcp.TargetKind]string{mcp.Tool: "name", mcp.Prompt: "name", mcp.Resource: "uri", mcp.Task: "taskId"}[m.TargetOf]
}

// differs returns what another reader reads otherwise than Mintmark read m, or
// "".
func differs(m mcp.Message, ours, theirs reading) string {
	names := []string{"jsonrpc", "id", "method", "arguments", "version"}
	if m.TargetOf != mcp.NoTarget {
		names = append(names, targetName(m))
	}
	if m.Initialize != "" {
		names = append(names, "initialize")
	}
	if theirs["whole"] != "" { // some readers return the parts alone
		names = append(names, "whole")
	}
	for _, name := range names {
		if ours[name] != theirs[name] {
			return fmt.Sprintf("%s: judged %q, another reads %q", name, ours[name], theirs[name])
		}
	}
	_, result := theirs["result"]
	_, fault := theirs["error"]
	if answers := m.Kind == mcp.Response; result && fault || (result || fault) != answers {
		return fmt.Sprintf("answer: judged %t, another reads a result %t and an error %t", answers, result, fault)
	}
	if completion := theirs["refType"]; m.Method == "completion/complete" && completion != canonical("ref/"+m.TargetOf.String()) {
		return fmt.Sprintf("completion of a %s: another reads the type %q", m.TargetOf, completion)
	}
	return ""
}

// read reads body as the broker does.
func read(r *mcp.Reader, body []byte) ([]mcp.Message, error) {
	if mcp.IsBatch(body) {
		return r.ReadBatch(body)
	}
	m, err := r.Read(body)
	return []mcp.Message{m}, err
}

// verdict is what came of holding one body against other readers.
type verdict struct {
	accepted  bool // by Mintmark
	ambiguous bool // to the others: at least two of them read it, and not the same
}

// hold reads body and demands, where Mintmark accepts it, that every other
// reader accepts it too and reads the same.
func hold(t testing.TB, r *mcp.Reader, body []byte, others ...reader) verdict {
	t.Helper()
	ms, err := read(r, body)
	v := verdict{accepted: err == nil}
	if err != nil {
		if _, ok := errors.AsType[*mcp.Error](err); !ok || (len(ms) > 0 && (ms[0].Kind != mcp.None || ms[0].Raw != nil)) {
			t.Fatalf("%q: got %v with %+v, want an *mcp.Error alone", body, err, ms)
		}
	} else {
		holdBytes(t, body, ms)
	}
	var first []reading
	for _, other := range others {
		theirs, err := other.read(body)
		if err == nil && first != nil && !slices.EqualFunc(first, theirs, sameCall) {
			v.ambiguous = true
		}
		if err == nil && first == nil {
			first = theirs
		}
		if v.accepted {
			holdReading(t, body, ms, other.name, theirs, err)
		}
	}
	return v
}

// sameCall compares what all readers return: not the whole, and not what an
// error says.
func sameCall(a, b reading) bool {
	a, b = maps.Clone(a), maps.Clone(b)
	for _, r := range []reading{a, b} {
		delete(r, "whole")
		if _, fails := r["error"]; fails {
			r["error"] = ""
		}
	}
	return maps.Equal(a, b)
}

// holdBytes demands that what was judged is what will be sent.
func holdBytes(t testing.TB, body []byte, ms []mcp.Message) {
	t.Helper()
	if !mcp.IsBatch(body) && !bytes.Equal(ms[0].Raw, body) {
		t.Fatalf("%q: the bytes judged are %q", body, ms[0].Raw)
	}
	for _, m := range ms {
		if m.Kind == mcp.None || !bytes.Contains(body, m.Raw) || !bytes.Contains(m.Raw, m.ID) || !bytes.Contains(m.Raw, m.Arguments) {
			t.Fatalf("%q: got %+v, want it to be part of the body", body, m)
		}
	}
}

func holdReading(t testing.TB, body []byte, ms []mcp.Message, name string, theirs []reading, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%q: accepted what %s refuses: %v", body, name, err)
	}
	if len(theirs) != len(ms) {
		t.Fatalf("%q: judged %d messages, %s reads %d", body, len(ms), name, len(theirs))
	}
	for i, m := range ms {
		if what := differs(m, judged(t, m), theirs[i]); what != "" {
			t.Fatalf("%q: message %d, by %s: %s", body, i, name, what)
		}
	}
}
