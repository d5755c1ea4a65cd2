package injector

import (
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"unicode/utf16"

	"mintmark/providers"
)

// minSecret is the shortest secret that is looked for. A shorter one would be
// found in ordinary text everywhere, and is no secret.
const minSecret = 6

// Secrets is what must not come back in an answer: the parts of one credential
// in the forms an upstream may repeat them in. It never prints them.
type Secrets struct{ matcher func() *matcher }

// secretsOf returns the forms of c's parts, made once for each lease.
func secretsOf(c providers.Opened) *Secrets {
	return c.Once(newSecrets).(*Secrets)
}

func newSecrets(c providers.Opened) any {
	secrets := []secret{{text: c.Token()}, {text: c.Password()}, {text: c.SecretAccessKey()}, {text: c.SessionToken()}}
	if c.Password() != "" {
		// What scheme basic sends is one more secret, with forms of its own. It begins
		// with the name, which is none.
		name := c.Username() + ":"
		secrets = append(secrets, secret{base64.StdEncoding.EncodeToString([]byte(name + c.Password())), base64.RawStdEncoding.EncodedLen(len(name))})
	}
	return compile(secrets)
}

// secret is one part of a credential, and how much of its beginning is known to be none.
type secret struct {
	text  string
	known int
}

func secretsFrom(texts ...string) *Secrets {
	secrets := make([]secret, len(texts))
	for i, text := range texts {
		secrets[i].text = text
	}
	return compile(secrets)
}

func compile(secrets []secret) *Secrets {
	var forms []form
	longest := 0
	for _, s := range secrets {
		if len(s.text) >= minSecret {
			forms = appendForms(forms, s.text, max(s.known, kindOf(s.text)))
			longest = max(longest, len(s.text))
		}
	}
	m := newMatcher(forms, longest)
	return &Secrets{matcher: func() *matcher { return m }}
}

// alphabet says which characters of a form stand for one another, how they may
// be escaped, and whether lines may be broken between them.
type alphabet uint8

const (
	// plain is the secret itself. Each character may be escaped.
	plain alphabet = iota
	// either is an encoding whose letters may be in either case.
	either
	// sixtyFour is base64, in which the URL's alphabet has - and _ for + and /.
	sixtyFour
	// thirtyTwo is base32, whose letters may be in either case.
	thirtyTwo
)

// form is one way to write a secret, before anything is escaped.
type form struct {
	text     string
	alphabet alphabet
	part     uint8 // characters from which on a part of it, from its beginning, is masked
}

// appendForms adds the forms of one secret: as it is, in UTF-16, in hex, and in
// base64 and base32 at each alignment. Its first so many bytes are not secret.
func appendForms(forms []form, secret string, known int) []form {
	add := func(text string, a alphabet) {
		if len(text) < minSecret {
			return
		}
		for _, f := range forms {
			if f.text == text && f.alphabet == a {
				return
			}
		}
		forms = append(forms, form{text, a, partOf(len(text), known*len(text)/len(secret))})
	}
	add(secret, plain)
	add(utf16Of(secret), plain)
	add(hex.EncodeToString([]byte(secret)), either)
	for offset := range 3 {
		add(aligned(base64.RawStdEncoding.EncodeToString, 6, secret, offset), sixtyFour)
	}
	for offset := range 5 {
		add(aligned(base32.StdEncoding.EncodeToString, 5, secret, offset), thirtyTwo)
	}
	return forms
}

// aligned returns the part of an encoding of so many bits a character that is
// the same whatever stands before and after the secret, when it begins offset
// bytes into a group.
func aligned(encode func([]byte) string, bits int, secret string, offset int) string {
	encoded := encode(append(make([]byte, offset), secret...))
	first := (8*offset + bits - 1) / bits
	last := 8 * (offset + len(secret)) / bits
	if first >= last {
		return ""
	}
	return encoded[first:last]
}

// utf16Of returns secret in UTF-16, without the byte at either end that differs
// between the two byte orders.
func utf16Of(secret string) string {
	var b strings.Builder
	for _, u := range utf16.Encode([]rune(secret)) {
		b.Write([]byte{byte(u >> 8), byte(u & 0xff)})
	}
	return strings.Trim(b.String(), "\x00")
}

// breaks reports whether lines may be broken anywhere in the form.
func (f *form) breaks() bool { return f.alphabet != plain }

// escapes reports whether some encoder escapes c in this form.
func (f *form) escapes(c byte) bool { return f.alphabet == plain || !isAlphanumeric(c) }

// twin returns the byte that stands for the same as c in this form, or c.
func (f *form) twin(c byte) byte {
	switch {
	case f.alphabet == plain && c == ' ':
		return '+' // in a query
	case f.alphabet == sixtyFour && c == '+':
		return '-'
	case f.alphabet == sixtyFour && c == '/':
		return '_'
	case (f.alphabet == either || f.alphabet == thirtyTwo) && isAlphanumeric(c) && c > '9':
		return c ^ 0x20
	}
	return c
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
