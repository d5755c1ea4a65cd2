package policies

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/scanner"

	"github.com/cedar-policy/cedar-go/types"
)

// position is a place in a policy file.
type position struct {
	file      string
	line, col int
}

func (p position) String() string { return fmt.Sprintf("%s:%d:%d", p.file, p.line, p.col) }

// token is one word of a policy file. Cedar's syntax tree keeps no positions
// below the policy, so a fault is placed by finding its words again.
type token struct {
	offset, line, col int
	text              string // a string literal without its quotes
	quoted            bool
}

// tokenize splits a file that Cedar's own parser has accepted, or says where
// it did not.
func tokenize(content []byte) []token {
	var s scanner.Scanner
	s.Init(strings.NewReader(string(content)))
	s.Mode = scanner.ScanIdents | scanner.ScanInts | scanner.ScanStrings | scanner.ScanComments | scanner.SkipComments
	s.Error = func(*scanner.Scanner, string) {} // the real parser reports errors
	var out []token
	for t := s.Scan(); t != scanner.EOF; t = s.Scan() {
		out = append(out, newToken(s.Position, t, s.TokenText()))
	}
	return out
}

func newToken(p scanner.Position, kind rune, text string) token {
	t := token{offset: p.Offset, line: p.Line, col: p.Column, text: text, quoted: kind == scanner.String}
	if !t.quoted {
		return t
	}
	if plain, err := strconv.Unquote(text); err == nil {
		t.text = plain
	} else {
		t.text = strings.Trim(text, `"`)
	}
	return t
}

// between returns the tokens from offset up to end.
func between(tokens []token, offset, end int) []token {
	at := func(offset int) int {
		i, _ := slices.BinarySearchFunc(tokens, offset, func(t token, offset int) int { return t.offset - offset })
		return i
	}
	return tokens[at(offset):at(end)]
}

// findEntity returns the index of the first token of the literal uid, or -1.
func findEntity(tokens []token, uid types.EntityUID) int {
	for i := 3; i < len(tokens); i++ {
		if tokens[i].quoted && tokens[i].text == string(uid.ID) && tokens[i-1].text == ":" &&
			tokens[i-2].text == ":" && tokens[i-3].text == string(uid.Type) {
			return i - 3
		}
	}
	return -1
}

// findAttribute returns the index of the token that reads or tests the
// attribute name, preferring a read, or -1.
func findAttribute(tokens []token, name string) int {
	has := -1
	for i := 1; i < len(tokens); i++ {
		if tokens[i].text != name {
			continue
		}
		switch tokens[i-1].text {
		case ".", "[":
			return i
		case "has":
			if has < 0 {
				has = i
			}
		}
	}
	return has
}

// findString returns the index of the string literal text, or -1.
func findString(tokens []token, text string) int {
	for i, t := range tokens {
		if t.quoted && t.text == text {
			return i
		}
	}
	return -1
}

// findWord returns the index of the first token that reads text, or -1.
func findWord(tokens []token, text string) int {
	return slices.IndexFunc(tokens, func(t token) bool { return t.text == text })
}
