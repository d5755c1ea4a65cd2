package injector

import (
	"fmt"
	"strings"
	"sync"

	"mintmark/internal/wiped"
	"mintmark/providers"
)

// filled is what the schemes of a lease's upstreams write, each made once: a copy made
// for each call would lie in memory long after it, and be overwritten by chance. These
// are overwritten when the lease has ended and no call has one any more, see hoard.
type filled struct {
	mu    sync.RWMutex
	texts map[written]string

	signers signers
}

// written tells the texts of one lease apart: the scheme, and its template or what
// else makes the difference.
type written struct{ scheme, as string }

// text returns what create made of the lease's material the first time. It returns
// create's error, and asks it again after one.
func (s *Secrets) text(what written, create func() ([]byte, error)) (string, error) {
	f := s.written()
	f.mu.RLock()
	text, ok := f.texts[what]
	f.mu.RUnlock()
	if ok {
		return text, nil
	}
	b, err := create()
	if err != nil {
		clear(b)
		return "", err
	}
	hoard(&b)
	f.mu.Lock()
	defer f.mu.Unlock()
	if text, ok := f.texts[what]; ok { // another call was faster
		return text, nil
	}
	if f.texts == nil {
		f.texts = make(map[written]string, 1)
	}
	f.texts[what] = wiped.String(b)
	return f.texts[what], nil
}

// fill returns a template filled with c's parts. It returns an error when c lacks a
// part that the template names.
func (s *Secrets) fill(scheme string, template pattern, c providers.Opened) (string, error) {
	return s.text(written{scheme, string(template)}, func() ([]byte, error) { return template.fill(scheme, c) })
}

// fill returns the value for c. It returns an error when c lacks a part that the
// template names.
func (t pattern) fill(scheme string, c providers.Opened) ([]byte, error) {
	parts := [...]struct{ name, value string }{{"{token}", c.Token()}, {"{username}", c.Username()}, {"{password}", c.Password()}}
	size := len(t)
	for _, p := range parts {
		n := strings.Count(string(t), p.name)
		if n > 0 && p.value == "" {
			return nil, fmt.Errorf("scheme %s: expected a credential with a %s, got none", scheme, strings.Trim(p.name, "{}"))
		}
		size += n * len(p.value)
	}
	b := make([]byte, 0, size) // at once: what append moves stays where it was
	rest := string(t)
next:
	for rest != "" {
		for _, p := range parts {
			if after, ok := strings.CutPrefix(rest, p.name); ok {
				b, rest = append(b, p.value...), after
				continue next
			}
		}
		b, rest = append(b, rest[0]), rest[1:]
	}
	return b, nil
}
