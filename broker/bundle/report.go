package bundle

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// report adds a problem with the value at path, which is n or near it.
func (d *decoder) report(n *yaml.Node, path, format string, args ...any) {
	d.problems = append(d.problems, Problem{
		File:   ConfigName,
		Line:   n.Line,
		Column: n.Column,
		Path:   d.secrets.redact(path),
		Text:   d.secrets.redact(fmt.Sprintf(format, args...)),
	})
}

// refuse reports what was expected at n and what came.
func (d *decoder) refuse(n *yaml.Node, path, want string) {
	d.report(n, path, "expected %s, got %s", want, d.describe(n, path))
}

// fault reports a problem with the value at path, for rules that look at
// values and not at nodes. It adds nothing to what is already wrong there.
func (d *decoder) fault(path, want, got string) {
	if d.troubled(path) {
		return
	}
	d.add(path, want, got)
}

// faultOf is fault for a rule on the value at path as a whole that reads these
// paths alone: what is wrong with others does not silence it.
func (d *decoder) faultOf(reads []string, path, want, got string) {
	if !d.lost(path) && !slices.ContainsFunc(reads, func(r string) bool { return d.lost(r) || d.troubled(r) }) {
		d.add(path, want, got)
	}
}

// lost reports whether the value at path, or one around it, could not be read.
func (d *decoder) lost(path string) bool {
	for at := range d.unread {
		if within(path, at) {
			return true
		}
	}
	return false
}

func (d *decoder) add(path, want, got string) {
	text := "expected " + want
	if got != "" {
		text += ", got " + got
	}
	d.report(d.nearest(path), path, "%s", text)
}

// troubled reports whether a problem at path or below it is already known.
func (d *decoder) troubled(path string) bool {
	return slices.ContainsFunc(d.problems, func(p Problem) bool { return within(p.Path, path) })
}

// within reports whether path is parent or below it.
func within(path, parent string) bool {
	rest, ok := strings.CutPrefix(path, parent)
	return ok && (rest == "" || parent == "" || rest[0] == '.' || rest[0] == '[')
}

// nearest returns the node at path, or the innermost one around it.
func (d *decoder) nearest(path string) *yaml.Node {
	for {
		if n, ok := d.nodes[path]; ok {
			return n
		}
		at := strings.LastIndexAny(path, ".[")
		path = path[:max(at, 0)]
	}
}
