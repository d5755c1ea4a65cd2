package policies

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"mintmark/broker/bundle"
)

// problem is one fault in a policy file.
type problem struct {
	at   position
	text string
}

// parseProblem turns the parser's error into a problem. Where the parser names
// the token after the one at fault, it is moved back by one.
func parseProblem(file string, tokens []token, err error) problem {
	text := strings.TrimPrefix(err.Error(), "parser error: ")
	at := position{file, 1, 1}
	m := regexp.MustCompile(`(\d+):(\d+)[ :]`).FindStringSubmatch(text)
	if m == nil {
		return problem{at, text}
	}
	at.line, _ = strconv.Atoi(m[1])
	at.col, _ = strconv.Atoi(m[2])
	if _, rest, ok := strings.Cut(text, "exact got "); ok {
		got, want, _ := strings.Cut(rest, " want ")
		if got == "" {
			return problem{at, fmt.Sprintf("syntax, expected %q, got %s", want, endOfFile)}
		}
		return problem{before(tokens, at, got), fmt.Sprintf("syntax, expected %q, got %q", want, got)}
	}
	if _, got, ok := strings.Cut(text, "unexpected effect: "); ok {
		return effectProblem(before(tokens, at, got), got)
	}
	if i := strings.LastIndex(text, `": `); i >= 0 {
		text = text[i+3:]
	}
	text = strings.TrimPrefix(text, "<input>:"+strings.Trim(m[0], ": ")+": ")
	if !slices.ContainsFunc(tokens, func(t token) bool { return t.line > at.line || t.line == at.line && t.col >= at.col }) {
		text += ", got " + endOfFile
	}
	return problem{at, "syntax, " + text}
}

// effectProblem is for what stands where a policy begins.
func effectProblem(at position, got string) problem {
	if got == "" {
		return problem{at, "effect, expected permit or forbid, got " + endOfFile}
	}
	return problem{at, fmt.Sprintf("effect, expected permit or forbid, which are all that Cedar has, got %q", got)}
}

const endOfFile = "the end of the file"

// before returns the position of the token before at if it reads got.
func before(tokens []token, at position, got string) position {
	i := slices.IndexFunc(tokens, func(t token) bool { return t.line > at.line || t.line == at.line && t.col >= at.col })
	if i < 0 {
		i = len(tokens)
	}
	for _, t := range slices.Backward(tokens[:i]) {
		if t.text == got || t.quoted && strings.Trim(got, `"`) == t.text {
			return position{at.file, t.line, t.col}
		}
		break
	}
	return at
}

// validatorProblems turns the validator's errors into problems. It meets a
// policy once per action and resource type, in no fixed order, so equal
// findings are folded into one.
func validatorProblems(err error, where place) []problem {
	seen := map[problem]bool{}
	var out []problem
	for _, line := range flatten(err) {
		p := validatorProblem(line, where)
		if !seen[p] {
			seen[p] = true
			out = append(out, p)
		}
	}
	return out
}

func flatten(err error) []string {
	if err == nil {
		return nil
	}
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		return []string{err.Error()}
	}
	var out []string
	for _, e := range joined.Unwrap() {
		out = append(out, flatten(e)...)
	}
	return out
}

func validatorProblem(text string, where place) problem {
	quoted := regexp.MustCompile("`([^`]*)`").FindStringSubmatch(text)
	name := ""
	if quoted != nil {
		name = quoted[1]
	}
	last := name[strings.LastIndexByte(name, '.')+1:]
	at := where.start
	if i := findAttribute(where.tokens, last); i >= 0 {
		at = where.at(i)
	} else if i := findWord(where.tokens, strings.Trim(last, `"`)); last != "" && i >= 0 {
		at = where.at(i)
	}
	switch {
	case strings.HasPrefix(text, "unable to guarantee safety of access to optional attribute"):
		parent := strings.TrimSuffix("context."+name, "."+last)
		return problem{at, fmt.Sprintf(
			"context.%s may be absent, expected \"%s has %s &&\" before it, got a read without that guard", name, parent, last)}
	case strings.HasPrefix(text, "attribute `"):
		_, on, _ := strings.Cut(text, "` ")
		return problem{at, fmt.Sprintf("attribute, expected one that every resource in the policy's scope has, got %q: %s",
			name, strings.ReplaceAll(on, "`", ""))}
	case strings.HasPrefix(text, "unexpected type: expected "):
		want, got, _ := strings.Cut(strings.TrimPrefix(text, "unexpected type: expected "), " but saw ")
		return problem{where.start, fmt.Sprintf("type, expected %s, got %s", want, got)}
	case strings.HasPrefix(text, "unable to find an applicable action"):
		return problem{where.start, "scope, expected an action that applies to this principal and resource " +
			"(a group is named by \"action in\"), got none"}
	default:
		return problem{at, strings.ReplaceAll(text, "`", "")}
	}
}

func joinProblems(list []problem) error {
	sortProblems(list)
	return placed(list)
}

func sortProblems(list []problem) {
	slices.SortStableFunc(list, func(a, b problem) int {
		return cmp.Or(cmp.Compare(a.at.file, b.at.file), cmp.Compare(a.at.line, b.at.line),
			cmp.Compare(a.at.col, b.at.col), cmp.Compare(a.text, b.text))
	})
}

func placed(list []problem) bundle.Problems {
	all := make(bundle.Problems, len(list))
	for i, p := range list {
		all[i] = bundle.Problem{File: p.at.file, Line: p.at.line, Column: p.at.col, Text: p.text}
	}
	return all
}
