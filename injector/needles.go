package injector

import (
	"bytes"
	"encoding/json"
	"html"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// minNeedle is the shortest text that is looked for on behalf of others.
const minNeedle = headSize

// Needles are the secrets that one upstream got, for whatever workload, in their
// literal forms: as they are, in hex, base64 and base64url at each alignment, in UTF-16,
// and escaped as a whole for JSON, HTML, a query or a path, also one within the other. An answer is searched for all of them at once,
// at a cost that does not depend on how many there are. It is safe for concurrent
// use, and never prints them.
type Needles struct {
	set     func() *needles
	nobodys *Secrets
}

// needles is what Needles hide.
type needles struct {
	mu      sync.RWMutex
	of      map[*Secrets][]string // its literal forms
	root    branch
	heads   heads
	changes atomic.Uint64 // of what is in it, and one
}

// NewNeedles returns Needles of nothing.
func NewNeedles() *Needles {
	set := &needles{of: make(map[*Secrets][]string)}
	set.changes.Store(1)
	return &Needles{set: func() *needles { return set }, nobodys: secretsFrom()}
}

// NewScrubber returns a Scrubber for an answer to a call that no credential went with.
// Though there are no secrets yet: calls that began before such an upstream was
// registered may add some while the answer goes on.
func (n *Needles) NewScrubber() *Scrubber {
	s := n.nobodys.NewScrubber()
	s.Beside(n)
	return s
}

// Add has answers searched for s from now on.
func (n *Needles) Add(s *Secrets) {
	texts := s.literals()
	if len(texts) == 0 { // of a key alone
		return
	}
	set := n.set()
	set.mu.Lock()
	defer set.mu.Unlock()
	if _, ok := set.of[s]; ok {
		return
	}
	set.of[s] = texts
	for _, text := range texts {
		set.insert(needle{s, text})
		set.heads.put(text)
	}
	if set.heads.full() {
		set.heads.build(&set.root)
	}
	set.changes.Add(1)
}

// Remove ends the search for s.
func (n *Needles) Remove(s *Secrets) {
	set := n.set()
	set.mu.Lock()
	defer set.mu.Unlock()
	texts, ok := set.of[s]
	if !ok {
		return
	}
	delete(set.of, s)
	for _, text := range texts {
		set.remove(&set.root, 0, needle{s, text})
		set.heads.gone++
	}
	if set.heads.stale() {
		set.heads.build(&set.root)
	}
	set.changes.Add(1)
}

// Len returns how many Secrets are looked for.
func (n *Needles) Len() int {
	set := n.set()
	set.mu.RLock()
	defer set.mu.RUnlock()
	return len(set.of)
}

// literals returns the texts that are looked for on behalf of others.
func (s *Secrets) literals() []string {
	m := s.compiled()
	if m == nil {
		return nil
	}
	var all []string
	add := func(text string) {
		if len(text) >= minNeedle && !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	for i := range m.forms {
		switch f := &m.forms[i]; f.alphabet {
		case plain:
			add(f.text)
			if !strings.Contains(f.text, "\x00") { // UTF-16 has these
				for _, escaped := range escapedWhole(f.text) {
					add(escaped)
				}
			}
		case sixtyFour:
			add(f.text)
			add(strings.NewReplacer("+", "-", "/", "_").Replace(f.text))
		case either:
			add(f.text)
		case thirtyTwo: // rare, and as many as all others
		}
	}
	return all
}

// compiled returns the matcher of s, or nil for none.
func (s *Secrets) compiled() *matcher {
	if s == nil || s.matcher == nil {
		return nil
	}
	return s.matcher()
}

// escapedWhole returns text as encoders of JSON, HTML, queries and paths write it, and
// as they do twice, where they change it.
func escapedWhole(text string) []string {
	if !slices.ContainsFunc([]byte(text), func(c byte) bool { return !isAlphanumeric(c) && !strings.ContainsRune("-_.~", rune(c)) }) {
		return nil
	}
	page, query := html.EscapeString(text), url.QueryEscape(text)
	once := append(asJSONs(text), page, strings.NewReplacer("&#34;", "&quot;", "&#39;", "&#x27;").Replace(page),
		query, strings.ReplaceAll(query, "+", "%20"), url.PathEscape(text))
	all := append(once, url.QueryEscape(query), url.QueryEscape(once[0]), html.EscapeString(page))
	for _, text := range once[:len(once)-1] {
		all = append(all, asJSONs(text)...)
	}
	return all
}

// asJSONs returns text as encoders of JSON write it within a string: no more than they
// must, also the slash, as in HTML.
func asJSONs(text string) []string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(text) // a string can be encoded
	lean := strings.TrimSuffix(b.String(), "\n")
	lean = lean[1 : len(lean)-1]
	return []string{lean, strings.ReplaceAll(lean, "/", `\/`), strings.NewReplacer("<", `\u003c`, ">", `\u003e`, "&", `\u0026`).Replace(lean)}
}
