package bundle

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// leak is a form that only secrets have.
type leak struct {
	name string
	form *regexp.Regexp
}

// leaks returns the forms that are refused anywhere in a bundle, comments too.
// It is compiled once a load: a load is rare and a global is forever.
func leaks() []leak {
	return []leak{
		{"a private key", regexp.MustCompile(`-----BEGIN [A-Z0-9 ]*PRIVATE KEY`)},
		{"an age identity", regexp.MustCompile(`AGE-SECRET-KEY-1[0-9A-Z]+`)},
		{"an AWS access key", regexp.MustCompile(`\b(?:AKIA|ASIA)[0-9A-Z]{16}\b`)},
		{"a GitHub token", regexp.MustCompile(`\b(?:gh[pousr]_[0-9A-Za-z]{16,}|github_pat_[0-9A-Za-z_]{16,})`)},
		{"a GitLab token", regexp.MustCompile(`\bglpat-[0-9A-Za-z_-]{16,}`)},
		{"a Slack token", regexp.MustCompile(`\bxox[a-z]-[0-9A-Za-z-]{8,}`)},
		{"an API key", regexp.MustCompile(`\b(?:[sr]k-[0-9A-Za-z_-]{16,}|[sr]k_(?:live|test)_[0-9A-Za-z]{8,}|AIza[0-9A-Za-z_-]{30,}|npm_[0-9A-Za-z]{30,})`)},
		{"a JWT", regexp.MustCompile(`\beyJ[0-9A-Za-z_-]{4,}\.[0-9A-Za-z_-]{4,}\.[0-9A-Za-z_-]*`)},
		{"a Vault token", regexp.MustCompile(`\b(?:hv[sbr]\.[0-9A-Za-z_-]{16,}|s\.[0-9A-Za-z]{24}\b)`)},
		{"a URL with a password", regexp.MustCompile(`://[^/\s:@"']*:[^/\s@"']+@`)},
	}
}

// scanner finds secrets in text without ever repeating them.
type scanner struct{ leaks []leak }

// find returns what kind of secret s holds, or "".
func (sc scanner) find(s string) string {
	for _, l := range sc.leaks {
		if l.form.MatchString(s) {
			return l.name
		}
	}
	return ""
}

// redact takes every secret out of a message. Nothing should have put one in:
// this is the last line of defence.
func (sc scanner) redact(s string) string {
	for _, l := range sc.leaks {
		s = l.form.ReplaceAllLiteralString(s, "[redacted]")
	}
	return s
}

const useReference = `a bundle holds references, never secrets: move it to a file or the environment and write "file:/path" or "env:NAME"`

// text returns a problem for each line of a file that holds a secret.
func (sc scanner) text(file, content string) Problems {
	var all Problems
	line := 0
	for s := range strings.Lines(content) {
		line++
		for _, l := range sc.leaks {
			if at := l.form.FindStringIndex(s); at != nil {
				all = append(all, Problem{File: file, Line: line, Column: utf8.RuneCountInString(s[:at[0]]) + 1, Text: found(l.name)})
				break
			}
		}
	}
	return all
}

func found(name string) string { return fmt.Sprintf("found %s: %s", name, useReference) }

// quote shows a value in a message: in full when it is short and harmless,
// else by its length alone.
func (sc scanner) quote(s string) string {
	const longest = 32 // longer than the words that are mistyped, no longer than most keys
	if s == "" {
		return "nothing"
	}
	if len(s) > longest || sc.find(s) != "" || random(s) {
		return fmt.Sprintf("a value of %d characters", utf8.RuneCountInString(s))
	}
	return fmt.Sprintf("%q", s)
}

// namesSecret reports whether a key's own words say that its value is one:
// "client_secret", "apiToken" is not our spelling.
func namesSecret(key string) bool {
	words := []string{"secret", "token", "password", "passwd", "passphrase", "key", "apikey", "credential"}
	return slices.ContainsFunc(strings.FieldsFunc(strings.ToLower(key), func(r rune) bool { return r == '_' || r == '-' }),
		func(w string) bool { return slices.Contains(words, w) })
}

// random reports whether s holds a long run of mixed letters and digits with
// the entropy of a generated value. Names, paths and UUIDs have separators
// before such a run gets long.
func random(s string) bool {
	const longRun, bitsPerCharacter = 16, 3.0
	for _, run := range strings.FieldsFunc(s, func(r rune) bool { return !isAlphanumeric(r) }) {
		if len(run) >= longRun && strings.ContainsFunc(run, isDigit) && strings.ContainsFunc(run, isLetter) && entropy(run) >= bitsPerCharacter {
			return true
		}
	}
	return false
}

// entropy returns the Shannon entropy of s in bits a byte.
func entropy(s string) float64 {
	var count [256]float64
	for i := range len(s) {
		count[s[i]]++
	}
	bits := 0.0
	for _, n := range count {
		if n > 0 {
			p := n / float64(len(s))
			bits -= p * math.Log2(p)
		}
	}
	return bits
}

func isDigit(r rune) bool        { return r >= '0' && r <= '9' }
func isLetter(r rune) bool       { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }
func isAlphanumeric(r rune) bool { return isDigit(r) || isLetter(r) }
