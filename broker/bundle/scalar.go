package bundle

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// text decodes n into a type that reads itself.
func (d *decoder) text(n *yaml.Node, u encoding.TextUnmarshaler, path string) {
	if n.Kind != yaml.ScalarNode || isNull(n) {
		d.refuse(n, path, "text")
		return
	}
	want, got, ok := unmarshal(u, n.Value)
	switch {
	case !ok && got != "":
		d.report(n, path, "expected %s, got %s", want, got)
	case !ok:
		d.refuse(n, path, want)
	default:
		if r, is := u.(rebaser); is {
			r.rebase(d.dir)
		}
	}
}

// scalar decodes n into a bool, number or string.
func (d *decoder) scalar(n *yaml.Node, v reflect.Value, path string) {
	plain := n.Kind == yaml.ScalarNode && n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0
	want := ""
	switch {
	case v.Kind() == reflect.Bool:
		want = "true or false"
		if plain && (n.Value == "true" || n.Value == "false") {
			v.SetBool(n.Value == "true")
			return
		}
	case v.CanInt():
		want = "a whole number"
		if i, err := strconv.ParseInt(n.Value, 10, v.Type().Bits()); plain && err == nil && strconv.FormatInt(i, 10) == n.Value {
			v.SetInt(i)
			return
		}
	case v.CanFloat():
		want = "a number"
		if f, err := strconv.ParseFloat(n.Value, v.Type().Bits()); plain && err == nil && f-f == 0 { // finite
			v.SetFloat(f)
			return
		}
	case v.Kind() == reflect.String:
		want = "text"
		if n.Kind == yaml.ScalarNode && !isNull(n) {
			d.setString(n, v, path)
			return
		}
	default:
		want = "nothing: a " + v.Type().String() + " cannot be configured"
	}
	d.refuse(n, path, want)
}

// setString refuses control characters, which end up in headers and logs, and
// generated values under a key that says they are secret.
func (d *decoder) setString(n *yaml.Node, v reflect.Value, path string) {
	switch {
	case n.Value == "":
		d.report(n, path, "expected text, got an empty one: leave the key out instead")
	case strings.ContainsFunc(n.Value, isControl):
		d.report(n, path, "expected text, got control characters in it")
	case d.secrets.find(n.Value) != "":
		// vet reports it; it is not kept either
	case namesSecret(lastName(path)) && random(n.Value):
		d.report(n, path, "%s", found(fmt.Sprintf("what looks like a literal secret of %d characters", len(n.Value))))
	default:
		v.SetString(n.Value)
	}
}

// isControl reports whether r is a control character other than the newline
// and tab of a block of text.
func isControl(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r == 0x7f }
