package policies

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"go.yaml.in/yaml/v3"

	"mintmark/attest/posture"
)

// Result is what one case of a test file came to.
type Result struct {
	File, Name string
	Line       int
	Pass       bool
	Want, Got  string   // "allow" or "deny", and what else differs
	Policies   []string // the policies that determined what was got
	Reason     string   // the decision's own words
}

// String returns the result on one line.
func (r Result) String() string {
	if r.Pass {
		return fmt.Sprintf("%s:%d: pass %q: %s %v", r.File, r.Line, r.Name, r.Got, r.Policies)
	}
	return fmt.Sprintf("%s:%d: FAIL %q: got %s by %v (%s), want %s", r.File, r.Line, r.Name, r.Got, r.Policies, r.Reason, r.Want)
}

// Results are those of one file, in its order.
type Results []Result

// Failed returns the results that did not pass.
func (r Results) Failed() Results {
	return slices.DeleteFunc(slices.Clone(r), func(one Result) bool { return one.Pass })
}

// cases is a test file: NAME.test.yaml.
type cases struct {
	Cases []testCase `yaml:"cases"`
}

type testCase struct {
	Name           line                `yaml:"name"`
	Agent          string              `yaml:"agent"`
	Upstream       string              `yaml:"upstream"`
	Method         string              `yaml:"method"`
	Tool           string              `yaml:"tool"`
	Prompt         string              `yaml:"prompt"`
	Resource       string              `yaml:"resource"`
	Path           string              `yaml:"path"`
	Credential     string              `yaml:"credential"`
	Posture        map[string]testFact `yaml:"posture"`
	Time           string              `yaml:"time"`
	Expect         string              `yaml:"expect"`
	Policies       *[]string           `yaml:"policies"`
	ReasonContains string              `yaml:"reason_contains"`
}

type testFact struct {
	Value  string        `yaml:"value"`
	Age    time.Duration `yaml:"age"`
	MaxAge time.Duration `yaml:"max_age"` // zero: the fact is not stale at any age
	Issuer string        `yaml:"issuer"`
}

// line is a text that knows where it stands.
type line struct {
	text string
	at   int
}

// UnmarshalYAML implements yaml.Unmarshaler.
func (l *line) UnmarshalYAML(n *yaml.Node) error {
	l.at = n.Line
	return n.Decode(&l.text)
}

// RunTests runs the cases of a NAME.test.yaml file against set. The error says
// what is wrong with the file itself, all at once; a file without cases is
// wrong, because it would pass whatever the policies are.
func RunTests(set *Set, file string, content []byte) (Results, error) {
	list, err := decodeCases(file, content)
	if err != nil {
		return nil, err
	}
	var out Results
	var errs []error
	seen := map[string]bool{}
	for _, tc := range list {
		r, err := tc.request(set)
		if seen[tc.Name.text] {
			err = errors.Join(err, fmt.Errorf("name: got %q twice, want each case named once", tc.Name.text))
		}
		seen[tc.Name.text] = true
		if err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: case %q: %w", file, tc.Name.at, tc.Name.text, err))
			continue
		}
		out = append(out, tc.judge(file, set.Decide(r)))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return out, nil
}

func decodeCases(file string, content []byte) ([]testCase, error) {
	dec := yaml.NewDecoder(bytes.NewReader(content))
	dec.KnownFields(true)
	var doc cases
	if err := dec.Decode(&doc); err != nil && !errors.Is(err, io.EOF) {
		return nil, yamlError(file, err)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: got a second document, want one", file)
	}
	if len(doc.Cases) == 0 {
		return nil, fmt.Errorf("%s:1: cases: got none, want at least one", file)
	}
	return doc.Cases, nil
}

// yamlError gives each fault its file and line.
func yamlError(file string, err error) error {
	typed, ok := errors.AsType[*yaml.TypeError](err)
	if !ok {
		return fmt.Errorf("%s: read test file: %w", file, err)
	}
	var errs []error
	for _, text := range typed.Errors {
		text = strings.TrimPrefix(text, "line ")
		at, rest, _ := strings.Cut(text, ": ")
		if key, _, ok := strings.Cut(strings.TrimPrefix(rest, "field "), " not found in type"); ok {
			rest = fmt.Sprintf("got unknown key %q, want one of those documented for test files", key)
		}
		errs = append(errs, fmt.Errorf("%s:%s: %s", file, at, rest))
	}
	return errors.Join(errs...)
}

// request builds the question a case asks, or says what the case lacks.
func (tc testCase) request(set *Set) (Request, error) {
	var errs []error
	r := Request{Upstream: tc.Upstream, Method: tc.Method, Credential: tc.Credential}
	var err error
	if r.Agent, err = spiffeid.FromString(tc.Agent); err != nil {
		errs = append(errs, fmt.Errorf("agent: got %q, want a SPIFFE ID: %w", tc.Agent, err))
	}
	if r.Now, err = time.Parse(time.RFC3339, tc.Time); err != nil {
		errs = append(errs, fmt.Errorf("time: got %q, want one such as 2026-03-27T16:00:00+01:00", tc.Time))
	}
	if r.Target, err = tc.target(); err != nil {
		errs = append(errs, err)
	}
	if tc.Name.text == "" || tc.Upstream == "" || tc.Method == "" {
		errs = append(errs, errors.New("got a case without name, upstream or method, want all three"))
	}
	if tc.Expect != "allow" && tc.Expect != "deny" {
		errs = append(errs, fmt.Errorf("expect: got %q, want allow or deny", tc.Expect))
	}
	for _, name := range slices.Sorted(maps.Keys(tc.Posture)) {
		if set == nil || !set.posture[name] {
			errs = append(errs, fmt.Errorf("posture: got %q, want the name of a registered source", name))
		}
		r.Posture = append(r.Posture, tc.Posture[name].fact(tc.Agent, name, r.Now))
	}
	return r, errors.Join(errs...)
}

func (f testFact) fact(subject, name string, now time.Time) posture.Fact {
	if f.MaxAge == 0 {
		f.MaxAge = f.Age
	}
	return posture.Fact{
		Subject: subject, Name: name, Value: f.Value, Issuer: f.Issuer,
		ObservedAt: now.Add(-f.Age), MaxAge: f.MaxAge,
	}
}

func (tc testCase) target() (Target, error) {
	var out []Target
	for _, t := range []Target{{Tool, tc.Tool}, {Prompt, tc.Prompt}, {Resource, tc.Resource}, {Path, tc.Path}} {
		if t.Name != "" {
			out = append(out, t)
		}
	}
	switch len(out) {
	case 0:
		return Target{}, nil
	case 1:
		return out[0], nil
	default:
		return Target{}, errors.New("target: got more than one of tool, prompt, resource and path, want one")
	}
}

// judge compares what was decided with what the case expects.
func (tc testCase) judge(file string, d Decision) Result {
	r := Result{
		File: file, Name: tc.Name.text, Line: tc.Name.at,
		Want: tc.Expect, Got: "deny", Policies: d.Policies, Reason: d.Reason,
	}
	if d.Allow {
		r.Got = "allow"
	}
	r.Pass = r.Got == r.Want
	if tc.Policies != nil {
		want := slices.Sorted(slices.Values(*tc.Policies))
		r.Want += fmt.Sprintf(" by %v", want)
		r.Pass = r.Pass && slices.Equal(want, d.Policies)
	}
	if tc.ReasonContains != "" {
		r.Want += fmt.Sprintf(" with a reason that contains %q", tc.ReasonContains)
		r.Pass = r.Pass && strings.Contains(d.Reason, tc.ReasonContains)
	}
	return r
}
