package bundle

import (
	"encoding"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// objection is what a Validator reports.
type objection struct{ field, want, got string }

// validate asks a type for what its own rules refuse. Where something in it could
// not be read, it is asked as if that were left out, and again as if it were there:
// what it refuses both times does not hang on it. Meant are the fields that unknown keys of
// it are nearly.
func (d *decoder) validate(v reflect.Value, path string, meant []string) {
	rules, ok := v.Addr().Interface().(Validator)
	if !ok {
		return
	}
	against := objections(rules)
	if restore := d.suppose(path); restore != nil {
		again := objections(rules)
		restore()
		against = slices.DeleteFunc(against, func(r objection) bool {
			return !slices.ContainsFunc(again, func(o objection) bool { return o.field == r.field && o.want == r.want })
		})
	}
	for _, r := range against { // kept until the end: fault is silent where there is trouble already
		at := below(path, r.field)
		wanted := func(name string) bool { return r.field == name || mentions(r.want, name) }
		if d.nodes[at] == nil && slices.ContainsFunc(meant, wanted) {
			continue // what is missing is there, mistyped, and that is said
		}
		d.fault(at, r.want, d.said(d.nodes[at], r.got))
	}
}

// mentions reports whether a field's name is a word of what a rule wants: token is none of token_url.
func mentions(want, name string) bool {
	words := strings.FieldsFunc(want, func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	return slices.Contains(words, name)
}

// said returns what a rule says that it got, and where that is the text of n as it is,
// or of an entry of n, as a message may show it.
func (d *decoder) said(n *yaml.Node, got string) string {
	if n == nil {
		return got
	}
	values := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		values = n.Content
	}
	for _, v := range values {
		if v.Kind == yaml.ScalarNode && v.ShortTag() == "!!str" && v.Value != "" && (got == v.Value || got == strconv.Quote(v.Value)) {
			return d.secrets.quote(v.Value)
		}
	}
	return got
}

func objections(rules Validator) (all []objection) {
	rules.Validate(func(field, want, got string) { all = append(all, objection{field, want, got}) })
	return all
}

// suppose puts something in the place of each value below path that could not be
// read, and returns what takes it out again, or nil when there is none.
func (d *decoder) suppose(path string) (restore func()) {
	var values, before []reflect.Value
	for at, v := range d.unread {
		if at != path && within(at, path) && v.CanSet() {
			old := reflect.New(v.Type()).Elem()
			old.Set(v)
			values, before = append(values, v), append(before, old)
			plausible(v)
		}
	}
	if values == nil {
		return nil
	}
	return func() {
		for i, v := range values {
			v.Set(before[i])
		}
	}
}

// plausible sets v to something that is not its zero value, where that can be.
func plausible(v reflect.Value) {
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		for _, text := range []string{"env:X", "https://x.example/x", "1h", "1KiB", "spiffe://x.example/x", "x.example", "UTC", "/x", "x"} {
			if u.UnmarshalText([]byte(text)) == nil {
				return
			}
		}
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
	default:
		switch {
		case v.CanInt():
			v.SetInt(1)
		case v.CanFloat():
			v.SetFloat(1)
		}
	}
}
