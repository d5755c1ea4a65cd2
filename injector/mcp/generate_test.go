package mcp_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// seeds are messages that Mintmark accepts, one of each kind.
func seeds() []string {
	return []string{
		`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"query","arguments":{"sql":"select 1","limit":10,"deep":[{"a":null},{"b":true}]}}}`,
		`{"jsonrpc":"2.0","id":"é-1","method":"tools/call","params":{"name":"Grüße 😀","arguments":{"n":[0,-1,1.5,1e10,12345678901234567890],"":"\u0000\u2028\"\\\/"},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"progressToken":1}}}`,
		`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"roots":{"listChanged":true}},"clientInfo":{"name":"x","version":"1"}}}`,
		`{"jsonrpc":"2.0","method":"notifications/initialized"}`,
		`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"1","reason":"no"}}`,
		`{"jsonrpc":"2.0","id":-9007199254740991,"method":"resources/read","params":{"uri":"file:///a"}}`,
		`{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"p","arguments":{"x":"y"}}}`,
		`{"jsonrpc":"2.0","id":1,"method":"tasks/get","params":{"taskId":"t"}}`,
		`{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"p"},"argument":{"name":"a","value":"b"}}}`,
		`{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/resource","uri":"u"},"argument":{"name":"a","value":"b"}}}`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"cursor":"x"}}`,
		`{"jsonrpc":"2.0","id":"a","result":{"roots":[{"uri":"file:///"}]}}`,
		`{"jsonrpc":"2.0","id":3,"error":{"code":-32601,"message":"no","data":{"x":1}}}`,
		`[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}},{"jsonrpc":"2.0","method":"notifications/initialized"},{"jsonrpc":"2.0","id":"2","method":"ping"}]`,
		`[{"jsonrpc":"2.0","id":1,"result":{}},{"jsonrpc":"2.0","id":2,"error":{"code":1,"message":""}}]`,
	}
}

// node is a value of JSON that need not be one: names come twice, and text may
// be anything.
type node struct {
	text   string // of a string, number or word, as it is written
	open   string // "{", "[" or ""
	names  []string
	values []*node
}

func parse(text string) *node {
	d := jsontext.NewDecoder(bytes.NewReader([]byte(text)))
	n, err := parseNode(d)
	if err != nil {
		panic(fmt.Sprintf("parse the seed %s: %v", text, err))
	}
	return n
}

func parseNode(d *jsontext.Decoder) (*node, error) {
	kind := d.PeekKind()
	if kind != '{' && kind != '[' {
		v, err := d.ReadValue()
		return &node{text: string(v)}, err
	}
	n := &node{open: string(rune(kind))}
	if _, err := d.ReadToken(); err != nil {
		return nil, err
	}
	for d.PeekKind() != '}' && d.PeekKind() != ']' {
		if kind == '{' {
			name, err := d.ReadValue()
			if err != nil {
				return nil, err
			}
			n.names = append(n.names, string(name))
		}
		v, err := parseNode(d)
		if err != nil {
			return nil, err
		}
		n.values = append(n.values, v)
	}
	_, err := d.ReadToken()
	return n, err
}

func (n *node) write(b *strings.Builder, gap func() string) {
	b.WriteString(gap())
	defer func() { b.WriteString(gap()) }()
	if n.open == "" {
		b.WriteString(n.text)
		return
	}
	b.WriteString(n.open)
	for i, v := range n.values {
		if i > 0 {
			b.WriteByte(',')
		}
		if n.open == "{" {
			b.WriteString(gap() + n.names[i] + gap() + ":")
		}
		v.write(b, gap)
	}
	b.WriteString(gap() + map[string]string{"{": "}", "[": "]"}[n.open])
}

// all appends n and every node below it.
func (n *node) all(to []*node) []*node {
	to = append(to, n)
	for _, v := range n.values {
		to = v.all(to)
	}
	return to
}

// generator makes bodies from the seeds: each is a seed with up to three
// changes of the kinds by which readers of JSON are known to differ. It makes
// the same bodies from the same number.
type generator struct{ *rand.Rand }

func newGenerator(n uint64) *generator { return &generator{rand.New(rand.NewPCG(n, n))} }

type edit struct {
	name string
	make func(*generator, *node)
}

// changes returns the names of the changes that a body can have.
func (g *generator) changes() []string {
	names := []string{"space", "bytes"}
	for _, c := range edits() {
		names = append(names, c.name)
	}
	return names
}

func edits() []edit {
	return []edit{
		{"duplicate", (*generator).duplicate},
		{"shadow", (*generator).shadow},
		{"rename", (*generator).rename},
		{"escape", (*generator).escape},
		{"value", (*generator).value},
		{"string", (*generator).spell},
		{"swap", (*generator).swap},
		{"drop", (*generator).drop},
		{"nest", (*generator).nest},
		{"batch", (*generator).batch},
	}
}

// body returns a body and the changes that made it.
func (g *generator) body() (body []byte, made []string) {
	tree := parse(pick(g, seeds()))
	for range g.IntN(4) {
		c := pick(g, edits())
		c.make(g, tree)
		made = append(made, c.name)
	}
	var b strings.Builder
	gap := func() string { return "" }
	if g.IntN(4) == 0 {
		gap = g.gap
		made = append(made, "space")
	}
	tree.write(&b, gap)
	body = []byte(b.String())
	if g.IntN(8) == 0 {
		body = g.bytes(body)
		made = append(made, "bytes")
	}
	return body, made
}

func pick[T any](g *generator, from []T) T { return from[g.IntN(len(from))] }

// object returns a node with names, or nil.
func (g *generator) object(tree *node) *node {
	found := slices.DeleteFunc(tree.all(nil), func(n *node) bool { return len(n.names) == 0 })
	if len(found) == 0 {
		return nil
	}
	return pick(g, found)
}

func (g *generator) leaf(tree *node) *node {
	found := slices.DeleteFunc(tree.all(nil), func(n *node) bool { return n.open != "" })
	if len(found) == 0 {
		return tree
	}
	return pick(g, found)
}

func (n *node) insert(i int, name string, v *node) {
	n.names, n.values = slices.Insert(n.names, i, name), slices.Insert(n.values, i, v)
}

// duplicate says a name twice, with another value.
func (g *generator) duplicate(tree *node) {
	if n := g.object(tree); n != nil {
		n.insert(g.IntN(len(n.names)+1), pick(g, n.names), g.other())
	}
}

// shadow says a name a second time in another spelling.
func (g *generator) shadow(tree *node) {
	if n := g.object(tree); n != nil {
		n.insert(g.IntN(len(n.names)+1), g.respell(pick(g, n.names)), g.other())
	}
}

// rename spells a name differently.
func (g *generator) rename(tree *node) {
	if n := g.object(tree); n != nil {
		i := g.IntN(len(n.names))
		n.names[i] = g.respell(n.names[i])
	}
}

// respell returns a quoted name as some reader takes for the same.
func (g *generator) respell(name string) string {
	inner := name[1 : len(name)-1]
	i := 0
	if len(inner) > 0 {
		i = g.IntN(len(inner))
	}
	return `"` + pick(g, []string{
		strings.ToUpper(inner), strings.ToUpper(inner[:i]) + inner[i:], inner[:i] + "_" + inner[i:], strings.Trim(inner, "_"),
		strings.ReplaceAll(inner, "s", "ſ"), strings.ReplaceAll(inner, "k", "\u212a"), strings.ReplaceAll(inner, "i", "ı"),
		inner + `\u0000`, inner + " ", " " + inner, inner + "\u200b", "\ufeff" + inner, inner + "\u00ad", inner + `\n`, inner + "\u0301",
		strings.Map(fullWidth, inner), "__proto__", "constructor", inner[:i], `\ud800`, "\xff" + inner, inner + "2",
	}) + `"`
}

func fullWidth(r rune) rune {
	if '!' <= r && r <= '~' && r != '"' && r != '\\' {
		return r - '!' + '\uff01'
	}
	return r
}

// escape spells the characters of a name or string by their number.
func (g *generator) escape(tree *node) {
	if n := g.object(tree); n != nil && g.IntN(2) == 0 {
		i := g.IntN(len(n.names))
		n.names[i] = g.escaped(n.names[i])
		return
	}
	if n := g.leaf(tree); strings.HasPrefix(n.text, `"`) {
		n.text = g.escaped(n.text)
	}
}

func (g *generator) escaped(quoted string) string {
	if strings.Contains(quoted, `\`) || len(quoted) < 2 {
		return quoted
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range quoted[1 : len(quoted)-1] {
		switch {
		case r > 0xffff || g.IntN(3) == 0:
			b.WriteRune(r)
		case g.IntN(2) == 0:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\u%04X`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// value puts another value in the place of one.
func (g *generator) value(tree *node) { *g.below(tree) = *g.other() }

// below returns a node below the root where there is one.
func (g *generator) below(tree *node) *node {
	if found := tree.all(nil)[1:]; len(found) > 0 {
		return pick(g, found)
	}
	return tree
}

func (g *generator) other() *node {
	if g.IntN(4) == 0 {
		return parse(pick(g, []string{`{}`, `[]`, `{"name":"refund"}`, `["a"]`, `{"uri":"u","name":"n"}`, `{"arguments":{}}`, `{"code":1,"message":"m"}`,
			`{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}`, `{"type":"ref/prompt","name":"n"}`}))
	}
	return &node{text: pick(g, []string{
		`null`, `true`, `false`, `NaN`, `-Infinity`, `undefined`, `None`, `'a'`,
		`0`, `1`, `-0`, `-1`, `01`, `+1`, `.5`, `1.`, `1.0`, `1.5`, `0x10`, `1_000`, `1e3`, `1E+3`, `1e-3`, `0e999`, `1e308`, `1e309`, `1e400`, `-1e400`, `1e-400`, `5e-324`, `1e99999`,
		`9007199254740991`, `9007199254740992`, `9007199254740993`, `-9007199254740991`, `9223372036854775807`, `9223372036854775808`, `18446744073709551616`, `12345678901234567890`,
		`1` + strings.Repeat("0", 308), `1` + strings.Repeat("0", 309), strings.Repeat("1", 5000), `0.` + strings.Repeat("0", 330) + `1`, `1.` + strings.Repeat("3", 400),
		`""`, `"a"`, `"refund"`, `"tools/call"`, `"2.0"`, `"1"`, `"2026-07-28"`, `"ref/prompt"`, `"ref/resource"`,
		`"\u0000"`, "\"\u2028\"", "\"\u0085\"", "\"\u00a0\"", "\"\ufeff\"", "\"\uffff\"", "\"\x7f\"", "\"\t\"", "\"\n\"", "\"\x00\"",
		`"\ud83d\ude00"`, `"\ud83d"`, `"\ude00\ud83d"`, `"\uD83Dx"`, "\"\xed\xa0\x80\"", "\"\xc0\x80\"", "\"\xff\"", "\"\xf4\x90\x80\x80\"",
		`"\x41"`, `"\u41"`, `"\u00zz"`, `"\'"`, `"\/"`, `"\`, `"a`,
	})}
}

// spell changes a string in a way that keeps it one, or not.
func (g *generator) spell(tree *node) {
	n := g.leaf(tree)
	if len(n.text) < 2 || n.text[0] != '"' {
		return
	}
	inner := n.text[1 : len(n.text)-1]
	n.text = `"` + pick(g, []string{
		inner + " ", strings.ToUpper(inner), inner + `\u0000`, inner + `\u0000x`, inner + "\u0000", inner + "\u200b", inner + "é", inner + "e\u0301",
		inner + `\ud800`, inner + "\xff", inner + `\n`, inner + "\u2029", inner + `\"`, inner + `\\`, strings.Repeat(inner+"x", 50),
	}) + `"`
}

// swap puts the members of an object in another order.
func (g *generator) swap(tree *node) {
	if n := g.object(tree); n != nil {
		g.Shuffle(len(n.names), func(i, j int) {
			n.names[i], n.names[j] = n.names[j], n.names[i]
			n.values[i], n.values[j] = n.values[j], n.values[i]
		})
	}
}

func (g *generator) drop(tree *node) {
	if n := g.object(tree); n != nil {
		i := g.IntN(len(n.names))
		n.names, n.values = slices.Delete(n.names, i, i+1), slices.Delete(n.values, i, i+1)
	}
}

// nest puts a value deep into arrays or objects.
func (g *generator) nest(tree *node) {
	n := g.below(tree)
	for range pick(g, []int{1, 2, 50, 58, 60, 62, 64, 70, 300}) {
		inner := *n
		if *n = (node{open: "[", values: []*node{&inner}}); g.IntN(2) == 0 {
			n.open, n.names = "{", []string{`"x"`}
		}
	}
}

// batch puts a message beside others.
func (g *generator) batch(tree *node) {
	one := *tree
	*tree = node{open: "[", values: []*node{&one}}
	for range g.IntN(3) {
		tree.values = slices.Insert(tree.values, g.IntN(len(tree.values)+1), parse(pick(g, seeds()[:13])))
	}
}

// gap returns white space, or what only some readers take for it.
func (g *generator) gap() string {
	if g.IntN(60) == 0 {
		return pick(g, []string{"\v", "\f", "\u00a0", "\u0085", "\u2028", "\u3000", "\ufeff", "\x00", "/**/", "//\n", "#\n", ",", "x"})
	}
	return pick(g, []string{"", "", "", " ", "\n", "\t", "\r\n"})
}

// bytes changes the text itself.
func (g *generator) bytes(body []byte) []byte {
	i := g.IntN(len(body) + 1)
	rest := body[i:]
	switch g.IntN(8) {
	case 0:
		return body[:i]
	case 1:
		return append(body, pick(g, []string{"x", "}", "{}", "\x00", "\ufeff", ",", "null", "\v", "1", string(body)})...)
	case 2:
		return append([]byte(pick(g, []string{"\ufeff", "\xff\xfe", "\u00a0", "\v", "1", "//\n", ")]}',\n", "\x1e"})), body...)
	case 3:
		return utf16(body)
	case 4:
		return slices.Concat(body[:i], []byte{byte(g.IntN(256))}, rest)
	case 5:
		return slices.Concat(body[:i], rest[min(1, len(rest)):])
	case 6:
		return slices.Concat(body[:i], []byte{`{}[],:"\0-eE.tfn `[g.IntN(17)]}, rest[min(1, len(rest)):])
	}
	return slices.Concat(body, []byte("\n"), body)
}

func utf16(body []byte) []byte {
	wide := make([]byte, 0, 2*len(body))
	for _, c := range body {
		wide = append(wide, c, 0)
	}
	return wide
}
