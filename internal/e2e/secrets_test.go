//go:build e2e

package e2e_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// window is how many bytes in a row of a secret, in any of its forms, count as
// the secret: a part of a token is a leak too.
const window = 16

// secrets are the values that must not be where they don't belong, as a test
// learns them.
type secrets struct {
	mu    sync.Mutex
	kinds map[string]string // what a value is, by value
}

// add adds a value and says what it is. The parts of a JWT are added by
// themselves but for the header, which is no secret.
func (s *secrets) add(kind, value string) {
	if value == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kinds == nil {
		s.kinds = map[string]string{}
	}
	parts := strings.Split(value, ".")
	if len(parts) == 3 && strings.HasPrefix(value, "eyJ") {
		s.name(parts[1], kind+" (claims)")
		s.name(parts[2], kind+" (signature)")
		return
	}
	s.name(value, kind)
}

// name names a value all that it is: what one side got, the other shows.
func (s *secrets) name(value, kind string) {
	switch old := s.kinds[value]; {
	case old == "":
		s.kinds[value] = kind
	case !strings.Contains(old, kind):
		s.kinds[value] = old + ", " + kind
	}
}

// has reports whether a value of a kind was learnt.
func (s *secrets) has(kind string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.kinds {
		if strings.Contains(k, kind) {
			return true
		}
	}
	return false
}

func (s *secrets) snapshot() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.kinds)
}

// in returns what of the secrets is in text, and in which form.
func (s *secrets) in(text []byte) []string {
	marks := map[string]string{}
	for value, kind := range s.snapshot() {
		for _, f := range forms(value) {
			n := min(window, len(f.text))
			for i := 0; i+n <= len(f.text); i++ {
				if mark := f.text[i : i+n]; marks[mark] == "" {
					marks[mark] = kind + ", " + f.name
				}
			}
		}
	}
	sizes := map[int]bool{}
	for mark := range marks {
		sizes[len(mark)] = true
	}
	found := map[string]bool{}
	for size := range sizes {
		for i := 0; i+size <= len(text); i++ {
			if what, ok := marks[string(text[i:i+size])]; ok {
				found[what] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

type form struct{ name, text string }

// forms returns the forms in which a value could be repeated, the plain one
// first.
func forms(value string) []form {
	digits := hex.EncodeToString([]byte(value))
	quoted, _ := json.Marshal(value) // a string always encodes
	out := []form{
		{"raw", value}, {"hex", digits}, {"HEX", strings.ToUpper(digits)},
		{"query", url.QueryEscape(value)}, {"path", url.PathEscape(value)},
		{"JSON", string(quoted[1 : len(quoted)-1])},
	}
	for shift := range 3 {
		out = append(out, form{"base64", inner(base64.RawStdEncoding, value, shift)}, form{"base64url", inner(base64.RawURLEncoding, value, shift)})
	}
	return out
}

// inner returns the part of the encoding of a text that value alone decides,
// when value begins shift bytes after a multiple of three.
func inner(e *base64.Encoding, value string, shift int) string {
	encoded := e.EncodeToString([]byte(strings.Repeat("\x00", shift) + value))
	whole := (shift + len(value)) / 3 * 4
	return encoded[min((shift+2)/3*4, whole):whole]
}

// The checker finds each kind of secret in each form, wherever it stands, and
// nothing where nothing is: without this the other tests prove nothing.
func TestCheckerFindsWhatLeaked(t *testing.T) {
	t.Parallel()
	const password, token = "p4ss-w0rd/with+signs~", "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJzcGlmZmU6Ly9hIn0.c2lnbmF0dXJlLW9mLWl0LWFsbA"
	s := &secrets{}
	s.add("password", password)
	s.add("token", token)
	pair := base64.StdEncoding.EncodeToString([]byte("v-user-7:" + password))
	for name, text := range map[string]string{
		"raw":               "user=" + password + "\n",
		"part":              password[2 : 2+window],
		"Basic":             "Authorization: Basic " + pair,
		"hex":               hex.EncodeToString([]byte("x" + password)),
		"HEX":               strings.ToUpper(hex.EncodeToString([]byte(password))),
		"URL query":         "?q=" + url.QueryEscape(password),
		"URL path":          "/" + url.PathEscape(password),
		"bearer":            "Bearer " + token,
		"claims":            strings.Split(token, ".")[1],
		"signature":         strings.Split(token, ".")[2],
		"token in base64":   base64.StdEncoding.EncodeToString([]byte(token)),
		"token in base64 1": base64.StdEncoding.EncodeToString([]byte("." + token)),
		"token in base64 2": base64.URLEncoding.EncodeToString([]byte(".." + token)),
		"token in JSON":     `{"t":"` + token + `"}`,
	} {
		if len(s.in([]byte(text))) == 0 {
			t.Errorf("%s: found nothing in %q", name, text)
		}
	}
	masked := strings.ReplaceAll("Basic "+pair+" "+token, token, strings.Repeat("*", len(token)))
	masked = strings.ReplaceAll(masked, inner(base64.RawStdEncoding, password, 0), strings.Repeat("*", 28))
	for name, text := range map[string]string{
		"nothing": "", "masked": masked, "another": "p4ss-w0rd/without+signs~", "the header of every JWT": token[:20],
	} {
		if found := s.in([]byte(text)); len(found) != 0 {
			t.Errorf("%s: found %v in %q", name, found, text)
		}
	}
}
