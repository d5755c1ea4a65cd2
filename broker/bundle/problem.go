package bundle

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing wrong with one place of a file. Its text never holds a
// value that could be a secret.
type Problem struct {
	File         string // base name
	Line, Column int    // from 1; 0 when the problem is with the whole file
	Path         string // "upstreams.orders.credentials[0].scheme", or ""
	Text         string // `expected a duration such as "1h30m", got "2h30"`
}

// Error returns the problem as an editor finds it: file:line:column: path: text.
func (p Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	if p.Path != "" {
		b.WriteString(": " + p.Path)
	}
	return b.String() + ": " + p.Text
}

// Problems are all that is wrong with a bundle, by file and position.
type Problems []Problem

// Error returns one problem a line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].Error()
	}
	return strings.Join(lines, "\n")
}

// At reports whether one of p is with the value at path of mintmark.yaml itself.
func (p Problems) At(path string) bool {
	return slices.ContainsFunc(p, func(one Problem) bool { return one.File == ConfigName && one.Path == path })
}

// Unwrap returns the problems one by one, for errors.As.
func (p Problems) Unwrap() []error {
	all := make([]error, len(p))
	for i := range p {
		all[i] = p[i]
	}
	return all
}

// Err returns p in order of position, or nil when it is empty.
func (p Problems) Err() error {
	if len(p) == 0 {
		return nil
	}
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(a.File, b.File),
			cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Path, b.Path),
		)
	})
	return p
}
