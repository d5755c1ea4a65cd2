package injector

import (
	"bytes"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"sync/atomic"
	"unicode/utf16"
	"unicode/utf8"

	"mintmark/providers"
)

// minSecret is the shortest secret that is looked for. A shorter one would be
// found in ordinary text everywhere, and is no secret.
const minSecret = 6

// Secrets is what must not come back in an answer: the parts of one credential
// in the forms an upstream may repeat them in; and what schemes write of it. It never
// prints them.
type Secrets struct {
	matcher func() *matcher
	written func() *filled
	name    atomic.Pointer[string]
}

// Named has hits of s told by a name, as the id of a credential, from now on. An answer
// keeps the name alone of what it is searched for no more.
func (s *Secrets) Named(name string) { s.name.Store(&name) }

// named returns the name of s, or "".
func (s *Secrets) named() string {
	if name := s.name.Load(); name != nil {
		return *name
	}
	return ""
}

// secretsOf returns the forms of c's parts, made once for each lease.
func secretsOf(c providers.Opened) *Secrets {
	return c.Once(Forms).(*Secrets)
}

// Forms returns the *Secrets of a credential. It is for a providers.Pool to call ahead of
// the first use of that.
func Forms(c providers.Parts) any {
	secrets := []secret{{text: []byte(c.Token())}, {text: []byte(c.Password())}, {text: []byte(c.SecretAccessKey())}, {text: []byte(c.SessionToken())}}
	if pair := c.Pair(); pair != nil {
		// What scheme basic sends is one more secret, with forms of its own. It begins
		// with the name, which is none.
		secrets = append(secrets, secret{base64.StdEncoding.AppendEncode(nil, pair), base64.RawStdEncoding.EncodedLen(len(c.Username()) + 1)})
		clear(pair)
	}
	return compile(secrets)
}

// secret is one part of a credential, and how much of its beginning is known to be none.
type secret struct {
	text  []byte
	known int
}

// secretsOfParts returns the forms of texts, which it overwrites.
func secretsOfParts(texts ...[]byte) *Secrets {
	secrets := make([]secret, len(texts))
	for i, text := range texts {
		secrets[i].text = text
	}
	return compile(secrets)
}

// compile returns the forms of secrets, whose texts it overwrites.
func compile(secrets []secret) *Secrets {
	var forms []form
	longest := 0
	for _, s := range secrets {
		if len(s.text) >= minSecret {
			forms = appendForms(forms, s.text, boundsOf(s.text, s.known))
			longest = max(longest, len(s.text))
		}
	}
	texts := make([]*[]byte, len(forms))
	for i := range forms {
		texts[i] = &forms[i].text
	}
	hoard(texts...)
	m := newMatcher(forms, longest)
	t := new(filled)
	return &Secrets{matcher: func() *matcher { return m }, written: func() *filled { return t }}
}

// alphabet says which characters of a form stand for one another, how they may
// be escaped, and whether lines may be broken between them.
type alphabet uint8

const (
	// plain is the secret itself. Each character may be escaped.
	plain alphabet = iota
	// caseless is plain for a secret of hex, as a UUID is, whose letters may be in either case.
	caseless
	// either is an encoding whose letters may be in either case.
	either
	// sixtyFour is base64, in which the URL's alphabet has - and _ for + and /.
	sixtyFour
	// thirtyTwo is base32, whose letters may be in either case.
	thirtyTwo
)

// form is one way to write a secret, before anything is escaped.
type form struct {
	text     []byte
	alphabet alphabet
	bounds       // in a stream whose parts are followed
	close    int // see closeAt
}

// appendForms adds the forms of one secret: as it is, in UTF-16, in hex, in base64 and
// base32 at each alignment, and in Latin-1.
func appendForms(forms []form, secret []byte, b bounds) []form {
	length := len(secret)
	addWithin := func(within bounds, text []byte, a alphabet) {
		has := len(text) < minSecret
		for _, f := range forms {
			has = has || f.alphabet == a && bytes.Equal(f.text, text)
		}
		if has {
			clear(text)
			return
		}
		forms = append(forms, form{text, a, within, b.near(len(text), secret)})
	}
	add := func(text []byte, a alphabet) { addWithin(b.of(len(text), length), text, a) }
	add(utf16Of(secret), plain)
	add(hex.AppendEncode(nil, secret), either)
	for offset := range 3 {
		add(aligned(base64.RawStdEncoding.AppendEncode, 6, secret, offset), sixtyFour)
	}
	for offset := range 5 {
		add(aligned(base32.StdEncoding.AppendEncode, 5, secret, offset), thirtyTwo)
	}
	if bytes.ContainsFunc(secret, func(r rune) bool { return r >= utf8.RuneSelf }) {
		addWithin(b.in(secret, utf8.RuneCount), latinOf(secret), plain)
		addWithin(b.in(secret, lenAsLatin), asLatinOf(secret), plain)
	}
	add(secret, plainOf(secret)) // last: it is overwritten where another part of the credential is the same
	return forms
}

// aligned returns the part of an encoding of so many bits a character that is
// the same whatever stands before and after the secret, when it begins offset
// bytes into a group.
func aligned(encode func(to, from []byte) []byte, bits int, secret []byte, offset int) []byte {
	whole := append(make([]byte, offset, offset+len(secret)), secret...)
	encoded := encode(nil, whole)
	clear(whole)
	first := (8*offset + bits - 1) / bits
	last := 8 * (offset + len(secret)) / bits
	if first >= last {
		return nil
	}
	clear(encoded[last:])
	clear(encoded[:first])
	return encoded[first:last]
}

// utf16Of returns secret in UTF-16, without the byte at either end that differs
// between the two byte orders.
func utf16Of(secret []byte) []byte {
	runes := bytes.Runes(secret)
	units := utf16.Encode(runes)
	b := make([]byte, 0, 2*len(units))
	for _, u := range units {
		b = append(b, byte(u>>8), byte(u&0xff))
	}
	clear(runes)
	clear(units)
	return bytes.Trim(b, "\x00")
}

// plainOf returns the alphabet of a secret as it is.
func plainOf(secret []byte) alphabet {
	if slices.ContainsFunc(secret, func(c byte) bool { return !isHex(c) && c != '-' }) {
		return plain
	}
	return caseless
}

// latinOf returns secret in Latin-1, or nil where that does not have all of it.
func latinOf(secret []byte) []byte {
	b := make([]byte, 0, len(secret))
	for i := 0; i < len(secret); {
		r, n := utf8.DecodeRune(secret[i:])
		if r > 0xff {
			clear(b)
			return nil
		}
		b = append(b, byte(r)) //nolint:gosec // not above 0xff
		i += n
	}
	return b
}

// asLatinOf returns what a server makes of secret that takes each byte of a header for a
// character of Latin-1, as Node, WSGI and servlets do, where it repeats that in UTF-8.
func asLatinOf(secret []byte) []byte {
	b := make([]byte, 0, lenAsLatin(secret))
	for _, c := range secret {
		b = utf8.AppendRune(b, rune(c))
	}
	return b
}

// lenAsLatin returns the length of what asLatinOf does.
func lenAsLatin(text []byte) int {
	n := len(text)
	for _, c := range text {
		if c >= utf8.RuneSelf {
			n++
		}
	}
	return n
}

// breaks reports whether lines may be broken anywhere in the form.
func (f *form) breaks() bool { return f.alphabet > caseless }

// escapes reports whether some encoder escapes c in this form.
func (f *form) escapes(c byte) bool { return f.alphabet <= caseless || !isAlphanumeric(c) }

// twin returns the byte that stands for the same as c in this form, or c.
func (f *form) twin(c byte) byte {
	switch {
	case f.alphabet == plain && c == ' ':
		return '+' // in a query
	case f.alphabet == sixtyFour && c == '+':
		return '-'
	case f.alphabet == sixtyFour && c == '/':
		return '_'
	case (f.alphabet == caseless || f.alphabet == either || f.alphabet == thirtyTwo) && isAlphanumeric(c) && c > '9':
		return c ^ 0x20
	}
	return c
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
