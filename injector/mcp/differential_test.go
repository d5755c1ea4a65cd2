package mcp_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"

	"mintmark/injector/mcp"
)

// goReaders are the readers of servers in Go.
func goReaders() []reader {
	lenient := func(b []byte, v any) error {
		return jsonv2.Unmarshal(b, v, jsonv2.MatchCaseInsensitiveNames(true), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	}
	strict := func(b []byte, v any) error { return jsonv2.Unmarshal(b, v) }
	return []reader{
		{"encoding/json", messages(json.Unmarshal, wireReading(json.Unmarshal))}, // any case, the last of two
		{"encoding/json/v2", messages(strict, wireReading(strict))},
		{"encoding/json/v2, lenient", messages(lenient, wireReading(lenient))},
		{"go-sdk", messages(json.Unmarshal, sdkReading)},
	}
}

type unmarshal func(b []byte, v any) error

// messages reads a body that is one message or an array of them.
func messages(u unmarshal, one func(body []byte) (reading, error)) func([]byte) ([]reading, error) {
	return func(body []byte) ([]reading, error) {
		if !mcp.IsBatch(body) {
			r, err := one(body)
			return []reading{r}, err
		}
		var parts []json.RawMessage
		if err := u(body, &parts); err != nil {
			return nil, err
		}
		var all []reading
		for _, part := range parts {
			r, err := one(part)
			if err != nil {
				return nil, err
			}
			all = append(all, r)
		}
		return all, nil
	}
}

// wireReading reads a message into structs, as servers in Go do.
func wireReading(u unmarshal) func([]byte) (reading, error) {
	return func(body []byte) (reading, error) {
		var whole any
		var m struct {
			JSONRPC json.RawMessage `json:"jsonrpc"`
			ID      json.RawMessage `json:"id"`
			Method  json.RawMessage `json:"method"`
			Params  json.RawMessage `json:"params"`
			Result  json.RawMessage `json:"result"`
			Error   json.RawMessage `json:"error"`
		}
		if err := errors.Join(u(body, &whole), u(body, &m)); err != nil {
			return nil, err
		}
		r := reading{"whole": canonical(whole)}
		if err := r.raw(u, map[string]json.RawMessage{"jsonrpc": m.JSONRPC, "id": m.ID, "method": m.Method, "result": m.Result, "error": m.Error}); err != nil {
			return nil, err
		}
		return r, r.params(u, m.Params)
	}
}

// raw adds the values that are there.
func (r reading) raw(u unmarshal, values map[string]json.RawMessage) error {
	for name, raw := range values {
		if raw == nil {
			continue
		}
		var v any
		if err := u(raw, &v); err != nil {
			return err
		}
		r[name] = canonical(v)
	}
	return nil
}

// params adds what the params say.
func (r reading) params(u unmarshal, raw json.RawMessage) error {
	if raw == nil {
		return nil
	}
	var p struct {
		Name       json.RawMessage `json:"name"`
		URI        json.RawMessage `json:"uri"`
		Task       json.RawMessage `json:"taskId"`
		Arguments  json.RawMessage `json:"arguments"`
		Meta       json.RawMessage `json:"_meta"`
		Ref        json.RawMessage `json:"ref"`
		Initialize json.RawMessage `json:"protocolVersion"`
	}
	if err := u(raw, &p); err != nil {
		return err
	}
	values := map[string]json.RawMessage{"name": p.Name, "uri": p.URI, "taskId": p.Task, "arguments": p.Arguments, "initialize": p.Initialize}
	if len(p.Meta) > 0 && p.Meta[0] == '{' {
		var meta struct {
			Version json.RawMessage `json:"io.modelcontextprotocol/protocolVersion"`
		}
		if err := u(p.Meta, &meta); err != nil {
			return err
		}
		values["version"] = meta.Version
	}
	if len(p.Ref) > 0 && p.Ref[0] == '{' {
		var ref struct {
			Type json.RawMessage `json:"type"`
			Name json.RawMessage `json:"name"`
			URI  json.RawMessage `json:"uri"`
		}
		if err := u(p.Ref, &ref); err != nil {
			return err
		}
		values["refType"], values["refName"], values["refURI"] = ref.Type, ref.Name, ref.URI
	}
	return r.raw(u, values)
}

// sdkReading reads a message as servers made with the Go SDK do.
func sdkReading(body []byte) (reading, error) {
	m, err := jsonrpc.DecodeMessage(body)
	if err != nil {
		return nil, err
	}
	r := reading{"jsonrpc": canonical("2.0")}
	if q, ok := m.(*jsonrpc.Request); ok {
		if q.IsCall() {
			r["id"] = canonical(q.ID.Raw())
		}
		r["method"] = canonical(q.Method)
		return r, r.params(json.Unmarshal, q.Params)
	}
	a := m.(*jsonrpc.Response)
	r["id"] = canonical(a.ID.Raw())
	if a.Error != nil {
		r["error"] = canonical(a.Error.Error())
	}
	return r, r.raw(json.Unmarshal, map[string]json.RawMessage{"result": a.Result})
}

// TestReadersAgree holds the readings of a large set of bodies against those of
// the readers in Go.
func TestReadersAgree(t *testing.T) { holdCorpus(t, 6_000, goReaders()...) }

// holdCorpus holds every seed and n generated bodies against others. It fails
// when that was no test: when too few of them were read or refused, or the
// others agreed on nearly all.
func holdCorpus(t *testing.T, n int, others ...reader) {
	t.Helper()
	r := mcp.NewReader(64)
	for _, s := range seeds() {
		if v := hold(t, r, []byte(s), others...); !v.accepted {
			t.Errorf("seed %s: refused", s)
		}
	}
	g := newGenerator(1)
	var accepted, ambiguous int
	changes := map[string][2]int{} // how many bodies with a change were refused and accepted
	for range n {
		body, made := g.body()
		v := hold(t, r, body, others...)
		if v.accepted && v.ambiguous {
			t.Errorf("%q (%v): accepted, and others disagree on it", body, made)
		}
		for _, change := range made {
			count := changes[change]
			if v.accepted {
				count[1]++
			} else {
				count[0]++
			}
			changes[change] = count
		}
		if v.accepted {
			accepted++
		}
		if v.ambiguous {
			ambiguous++
		}
	}
	summary := fmt.Sprintf("%d of %d bodies accepted, %d read in two ways by others; refused and accepted by change: %v", accepted, n, ambiguous, changes)
	t.Log(summary)
	if accepted < n/5 || accepted > n*4/5 || ambiguous < n/100 {
		t.Errorf("got %s; want a fifth accepted, a fifth refused, and a hundredth read in two ways", summary)
	}
	for _, c := range g.changes() {
		if changes[c] == [2]int{} {
			t.Errorf("got no body with the change %q", c)
		}
	}
}

// FuzzReadAgainstGo looks for a message that is judged as one call and read by
// a server in Go as another.
func FuzzReadAgainstGo(f *testing.F) { fuzzAgainst(f, goReaders()...) }

func fuzzAgainst(f *testing.F, others ...reader) {
	f.Helper()
	for _, s := range seeds() {
		f.Add([]byte(s))
	}
	g := newGenerator(2)
	for range 200 {
		body, _ := g.body()
		f.Add(body)
	}
	r := mcp.NewReader(64)
	f.Fuzz(func(t *testing.T, body []byte) {
		if v := hold(t, r, body, others...); v.accepted && v.ambiguous {
			t.Fatalf("%q: accepted, and others disagree on it", body)
		}
	})
}
