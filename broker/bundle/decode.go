package bundle

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// decoder turns YAML nodes into typed values. It is our own because every
// problem must say where it is, and all of them at once.
type decoder struct {
	dir      string // what relative file names are relative to
	kinds    map[reflect.Type]map[string]func() any
	secrets  scanner
	known    Problems // secrets already found in the text
	nodes    map[string]*yaml.Node
	unread   map[string]reflect.Value // by path, what something was wrong with
	problems Problems
	decoded  bool // there was a mapping to decode
}

// document decodes the one document of content into config.
func (d *decoder) document(content []byte, config *Config) {
	root, problem := parse(content)
	if problem != nil {
		problem.Text = d.secrets.redact(problem.Text)
		d.problems = append(d.problems, *problem)
		return
	}
	d.decoded = root.Kind == yaml.MappingNode
	d.nodes, d.unread = map[string]*yaml.Node{}, map[string]reflect.Value{}
	d.vet(root, "")
	d.value(root, reflect.ValueOf(config).Elem(), "")
}

// parse returns the root of content's single document.
func parse(content []byte) (*yaml.Node, *Problem) {
	whole := func(text string) *Problem { return &Problem{File: ConfigName, Text: text} }
	reader := yaml.NewDecoder(bytes.NewReader(content))
	var document, second yaml.Node
	switch err := reader.Decode(&document); {
	case errors.Is(err, io.EOF):
		return nil, whole("expected a YAML document, got an empty file")
	case err != nil:
		return nil, syntaxProblem(err)
	}
	if err := reader.Decode(&second); err == nil {
		return nil, &Problem{File: ConfigName, Line: second.Line, Column: second.Column, Text: "expected one YAML document, got a second one"}
	} else if !errors.Is(err, io.EOF) {
		return nil, syntaxProblem(err)
	}
	return document.Content[0], nil
}

// syntaxProblem gives the parser's complaint our form. What the parser quotes
// is left out, because it quotes the file.
func syntaxProblem(err error) *Problem {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	p := &Problem{File: ConfigName, Text: "expected YAML: " + text}
	if m := regexp.MustCompile(`^line ([0-9]+): (.*)`).FindStringSubmatch(text); m != nil {
		p.Line, _ = strconv.Atoi(m[1]) // digits by the expression
		p.Column, p.Text = 1, "expected YAML: "+m[2]
	}
	if strings.HasSuffix(p.Text, "found character that cannot start any token") {
		p.Text += ": indent by blanks and not by tabs, and quote what begins with @ or `"
	}
	if before, _, quotes := strings.Cut(p.Text, "'"); quotes && strings.Contains(p.Text, "anchor") {
		p.Text = strings.TrimSpace(before) + ": anchors and aliases are not allowed here"
	}
	return p
}

// value decodes n into v.
func (d *decoder) value(n *yaml.Node, v reflect.Value, path string) {
	d.read(n, v, path)
	if d.wrong(path) {
		d.unread[path] = v
	}
}

// wrong reports whether a problem with the value at path itself is known.
func (d *decoder) wrong(path string) bool {
	return slices.ContainsFunc(d.problems, func(p Problem) bool { return p.Path == path })
}

func (d *decoder) read(n *yaml.Node, v reflect.Value, path string) {
	d.nodes[path] = n
	if n.Kind == yaml.AliasNode {
		return // vet refused it
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		d.text(n, u, path)
		return
	}
	if v.Type() == reflect.TypeFor[time.Duration]() {
		var duration Duration
		d.text(n, &duration, path)
		v.SetInt(int64(duration.Duration))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(n, v, path)
	case reflect.Map:
		d.mapping(n, v, path)
	case reflect.Slice:
		d.sequence(n, v, path)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(n, v.Elem(), path)
	default:
		d.scalar(n, v, path)
	}
}

func (d *decoder) sequence(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.SequenceNode {
		d.refuse(n, path, "a list")
		return
	}
	list := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		d.value(item, list.Index(i), path+index(i))
	}
	v.Set(list)
}

// mapping decodes n into a map of names to values.
func (d *decoder) mapping(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		d.refuse(n, path, "a mapping")
		return
	}
	if v.Type().Key().Kind() != reflect.String {
		d.report(n, path, "expected nothing: a %s cannot be configured", v.Type())
		return
	}
	m := reflect.MakeMap(v.Type())
	for _, e := range entries(n) {
		item := reflect.New(v.Type().Elem()).Elem()
		d.value(e.value, item, d.join(path, e.key.Value))
		m.SetMapIndex(reflect.ValueOf(e.key.Value).Convert(v.Type().Key()), item)
	}
	v.Set(m)
}

// structure decodes n into a struct, and what no field takes into its settings.
func (d *decoder) structure(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		d.refuse(n, path, "a mapping")
		return
	}
	given := entries(n)
	settings := -1
	var names []string
	for _, f := range fields(v.Type()) {
		if f.settings {
			settings = f.index
			continue
		}
		names = append(names, f.name)
		at := slices.IndexFunc(given, func(e entry) bool { return e.key.Value == f.name })
		d.field(n, given, at, v.Field(f.index), f, path)
		if at >= 0 {
			given = slices.Delete(given, at, at+1)
		}
	}
	if settings >= 0 {
		d.settings(n, v, settings, given, path)
		return
	}
	var meant []string
	for _, e := range given {
		d.report(e.key, d.join(path, e.key.Value), "unknown key%s", DidYouMean(e.key.Value, names))
		if near := nearest(e.key.Value, names); near != "" && d.nodes[d.join(path, near)] == nil {
			meant = append(meant, near)
		}
	}
	d.validate(v, path, meant)
}

// field decodes the entry at index at of given, or says that a required one is
// missing or empty.
func (d *decoder) field(n *yaml.Node, given []entry, at int, v reflect.Value, f field, path string) {
	name := d.join(path, f.name)
	switch {
	case at < 0 && f.required:
		d.report(n, name, "required, but missing%s", form(v))
		d.unread[name] = v
	case at >= 0 && f.json && given[at].value.Kind == yaml.MappingNode:
		d.refuse(given[at].value, name, `JSON in quotes, such as '{"role": "reader"}'`)
		d.unread[name] = v
	case at >= 0:
		d.value(given[at].value, v, name)
		if f.required && empty(v) && !d.troubled(name) {
			d.report(given[at].value, name, "required, but empty")
		}
	}
}

// form says how a missing value is written, where its name does not tell.
func form(v reflect.Value) string {
	switch v.Type() {
	case reflect.TypeFor[Date]():
		return ": want a day, such as 2026-03-27"
	case reflect.TypeFor[Duration]():
		return ": want a duration, such as 90s, 15m or 24h"
	}
	return ""
}

func empty(v reflect.Value) bool {
	if v.Kind() == reflect.Map || v.Kind() == reflect.Slice {
		return v.Len() == 0
	}
	return v.IsZero()
}

// settings decodes the entries that the registration v does not know itself
// into a new Config of its kind.
func (d *decoder) settings(n *yaml.Node, v reflect.Value, index int, rest []entry, path string) {
	kind := v.FieldByName("Kind").String()
	table := d.kinds[v.Type()]
	open, ok := table[kind]
	if !ok {
		if at := d.join(path, "kind"); !d.troubled(at) {
			known := slices.Sorted(maps.Keys(table))
			d.report(d.nearest(at), at, "unknown kind %s: known kinds are %s%s",
				d.secrets.quote(kind), strings.Join(known, ", "), DidYouMean(kind, known))
		}
		return
	}
	config := reflect.ValueOf(open())
	own := &yaml.Node{Kind: yaml.MappingNode, Line: n.Line, Column: n.Column}
	for _, e := range rest {
		own.Content = append(own.Content, e.key, e.value)
	}
	d.structure(own, config.Elem(), path)
	v.Field(index).Set(config)
}

// below returns the path of name under path.
func below(path, name string) string {
	if path == "" || name == "" || name[0] == '[' {
		return path + name
	}
	return path + "." + name
}

// join returns the path of key under path. A key that could be a secret or
// that would make the path ambiguous is shown by its length.
func (d *decoder) join(path, key string) string {
	if !isPathKey(key) || d.secrets.find(key) != "" || random(key) {
		key = fmt.Sprintf("(a key of %d characters)", len([]rune(key)))
	}
	return below(path, key)
}

func isPathKey(key string) bool {
	return key != "" && len(key) <= 63 &&
		!strings.ContainsFunc(key, func(r rune) bool { return !isAlphanumeric(r) && r != '_' && r != '-' })
}

// lastName returns the last key of a path, without indexes.
func lastName(path string) string {
	name, _, _ := strings.Cut(path[strings.LastIndexByte(path, '.')+1:], "[")
	return name
}

// describe says what n is, in words that cannot hold a secret.
func (d *decoder) describe(n *yaml.Node, path string) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case isNull(n):
		return "nothing"
	case namesSecret(lastName(path)):
		return fmt.Sprintf("a value of %d characters", len([]rune(n.Value)))
	default:
		return d.secrets.quote(n.Value)
	}
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }
