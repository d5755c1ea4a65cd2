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
	"unicode/utf8"
)

// minNeedle is the shortest text that is looked for on behalf of others.
const minNeedle = headSize

// Needles are the secrets that one upstream got, for whatever workload, in their
// literal forms: as they are, in hex, base64 and base64url at each alignment, in UTF-16,
// and escaped as a whole for JSON, HTML, a query or a path, also one within the other.
// An answer is searched for all of them at once, at a cost that does not depend on how
// many there are. It is safe for concurrent use, and never prints them.
type Needles struct {
	set     func() *needles
	nobodys *Secrets
}

// needles is what Needles hide.
type needles struct {
	mu      sync.RWMutex
	of      map[*Secrets][][]byte // its literal forms
	root    branch
	heads   heads
	changes atomic.Uint64 // of what is in it, and one
	longest atomic.Int64  // length of what ever was in it
}

// NewNeedles returns Needles of nothing.
func NewNeedles() *Needles {
	set := &needles{of: make(map[*Secrets][][]byte)}
	set.changes.Store(1)
	return &Needles{set: func() *needles { return set }, nobodys: secretsOfParts()}
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
		set.longest.Store(max(set.longest.Load(), int64(len(text))))
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
func (s *Secrets) literals() [][]byte {
	m := s.compiled()
	if m == nil {
		return nil
	}
	var all [][]byte
	var made []int // of all: the others are forms, which are kept already
	add := func(text []byte) (added bool) {
		added = len(text) >= minNeedle && !slices.ContainsFunc(all, func(b []byte) bool { return bytes.Equal(b, text) })
		if added {
			all = append(all, text)
		}
		return added
	}
	addMade := func(text []byte) {
		if add(text) {
			made = append(made, len(all)-1)
		} else {
			clear(text)
		}
	}
	for i := range m.forms {
		switch f := &m.forms[i]; f.alphabet {
		case plain, caseless:
			add(f.text)
			if !bytes.Contains(f.text, []byte{0}) && utf8.Valid(f.text) { // UTF-16 has these; Latin-1 is no text to encoders
				for _, escaped := range escapedWhole(f.text) {
					addMade(escaped)
				}
			}
		case sixtyFour:
			add(f.text)
			addMade(forURLs(f.text))
		case either:
			add(f.text)
		case thirtyTwo: // rare, and as many as all others
		}
	}
	texts := make([]*[]byte, len(made))
	for i, at := range made {
		texts[i] = &all[at]
	}
	hoard(texts...)
	return all
}

// forURLs returns base64 in the alphabet of URLs.
func forURLs(text []byte) []byte {
	text = bytes.Clone(text)
	for i, c := range text {
		switch c {
		case '+':
			text[i] = '-'
		case '/':
			text[i] = '_'
		}
	}
	return text
}

// compiled returns the matcher of s, or nil for none.
func (s *Secrets) compiled() *matcher {
	if s == nil || s.matcher == nil {
		return nil
	}
	return s.matcher()
}

// escapedWhole returns text as encoders of JSON, HTML, queries and paths write it, and
// as they do twice, where they change it. What these encoders leave behind of it is
// garbage.
func escapedWhole(text []byte) [][]byte {
	named := []byte(allNamed(string(text)))
	if !slices.ContainsFunc(text, func(c byte) bool { return !isAlphanumeric(c) && !bytes.ContainsRune([]byte("-_.~"), rune(c)) }) {
		return [][]byte{named}
	}
	page, query := html.EscapeString(string(text)), url.QueryEscape(string(text))
	once := append(asJSONs(string(text)), page, strings.NewReplacer("&#34;", "&quot;", "&#39;", "&#x27;").Replace(page),
		query, strings.ReplaceAll(query, "+", "%20"), url.PathEscape(string(text)))
	all := append(once, url.QueryEscape(query), url.QueryEscape(once[0]), html.EscapeString(page))
	for _, text := range once[:len(once)-1] {
		all = append(all, asJSONs(text)...)
	}
	texts := make([][]byte, len(all), len(all)+1)
	for i, text := range all {
		texts[i] = []byte(text)
	}
	return append(texts, named)
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
