package bundle

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"unicode/utf8"
)

// Ref names a secret without holding it: "file:/run/secrets/x" or
// "env:CLIENT_SECRET". Providers resolve it when they mint, so a rotated file is
// picked up. It parses itself from text and refuses anything without a known
// prefix, because that would be the secret itself. A relative file is relative
// to the bundle's directory.
type Ref struct{ scheme, rest string }

const refForm = `a reference such as "file:/run/secrets/name" or "env:NAME"`

// maxSecret is the longest secret that is read from a file.
const maxSecret = 64 << 10

// UnmarshalText reads a reference. Its error never repeats the text, which may
// be the secret itself.
func (r *Ref) UnmarshalText(text []byte) error {
	scheme, rest, _ := strings.Cut(string(text), ":")
	switch {
	case scheme == "file" && rest != "" && !strings.ContainsRune(rest, 0):
	case scheme == "env" && isVariable(rest):
	case scheme == "vault", scheme == "spiffe":
		return refusal{want: refForm, got: fmt.Sprintf("a %s: reference, which only a provider of that system can follow: register that provider", scheme)}
	case scheme == "file", scheme == "env":
		return refusal{want: refForm, got: "an " + scheme + ": reference without a usable name"}
	default:
		return refusal{want: refForm, got: fmt.Sprintf("a literal value of %d characters", utf8.RuneCount(text))}
	}
	*r = Ref{scheme: scheme, rest: rest}
	return nil
}

// isVariable reports whether s can name an environment variable.
func isVariable(s string) bool {
	return s != "" && !isDigit(rune(s[0])) &&
		!strings.ContainsFunc(s, func(r rune) bool { return !isAlphanumeric(r) && r != '_' })
}

func (r *Ref) rebase(dir string) {
	if r.scheme == "file" {
		r.rest = absolute(dir, r.rest)
	}
}

// IsZero reports whether r names nothing.
func (r Ref) IsZero() bool { return r.scheme == "" }

// String returns the reference, never what it refers to.
func (r Ref) String() string {
	if r.IsZero() {
		return ""
	}
	return r.scheme + ":" + r.rest
}

// MarshalText returns the reference as UnmarshalText reads it.
func (r Ref) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// Resolve reads the secret that r names now. A file loses one trailing
// newline; it is refused when it is empty, larger than 64 KiB, or one that
// Path.Read refuses. No error repeats what was read.
func (r Ref) Resolve() (string, error) {
	switch r.scheme {
	case "file":
		secret, err := readSecret(r.rest)
		if err != nil {
			return "", fmt.Errorf("resolve %s: %w", r, err)
		}
		return secret, nil
	case "env":
		if secret := os.Getenv(r.rest); secret != "" {
			return secret, nil
		}
		return "", fmt.Errorf("resolve %s: got an unset or empty variable, want the secret", r)
	default:
		return "", errors.New("resolve a secret: got no reference, want " + refForm)
	}
}

func readSecret(name string) (string, error) {
	content, err := Path(name).Read(maxSecret)
	if err != nil {
		return "", err
	}
	secret := trimNewline(string(content))
	if secret == "" {
		return "", errors.New("got an empty file, want the secret")
	}
	return secret, nil
}

// trimNewline takes one newline, of either kind, off the end of s.
func trimNewline(s string) string {
	line, cut := strings.CutSuffix(s, "\n")
	if cut {
		line = strings.TrimSuffix(line, "\r")
	}
	return line
}
