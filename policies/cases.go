package policies

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
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
	why := ""
	if r.Reason != "" { // what is allowed has none
		why = " (" + r.Reason + ")"
	}
	return fmt.Sprintf("%s:%d: FAIL %q: got %s by %v%s, want %s", r.File, r.Line, r.Name, r.Got, r.Policies, why, r.Want)
}

// Results are those of one file, in its order.
type Results []Result

// Failed returns the results that did not pass.
func (r Results) Failed() Results {
	return slices.DeleteFunc(slices.Clone(r), func(one Result) bool { return one.Pass })
}

// cases is a test file: NAME.test.yaml.
type cases struct {
	// TrustDomains are those of agents that come from elsewhere, beside the
	// registered ones: a deny of one that is mistyped would test nothing.
	TrustDomains []string   `yaml:"trust_domains"`
	Cases        []testCase `yaml:"cases"`
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
// wrong, because it would pass whatever the policies are, and so is a case of
// what is not known, because that is denied whatever they are.
func RunTests(set *Set, known Known, file string, content []byte) (Results, error) {
	doc, err := decodeCases(file, content)
	if err != nil {
		return nil, err
	}
	known.TrustDomains = slices.Concat(known.TrustDomains, doc.TrustDomains)
	var out Results
	var errs []error
	where := positions(content)
	seen := map[string]bool{}
	for i, tc := range doc.Cases {
		r, slips := tc.request(set)
		slips = append(slips, known.slips(set, tc, r)...)
		if seen[tc.Name.text] {
			slips = append(slips, slip{"name", fmt.Errorf("name: got %q twice, want each case named once", tc.Name.text)})
		}
		seen[tc.Name.text] = true
		for _, s := range slips {
			line, column := where.of(i, s.key)
			errs = append(errs, fmt.Errorf("%s:%d:%d: case %q: %w", file, line, column, tc.Name.text, s.err))
		}
		if len(slips) == 0 {
			out = append(out, tc.judge(file, set.Decide(r)))
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return out, nil
}

func decodeCases(file string, content []byte) (*cases, error) {
	dec := yaml.NewDecoder(bytes.NewReader(content))
	dec.KnownFields(true)
	var doc cases
	if err := dec.Decode(&doc); err != nil && !errors.Is(err, io.EOF) {
		return nil, yamlError(file, err)
	}
	var second yaml.Node
	if err := dec.Decode(&second); err == nil {
		return nil, fmt.Errorf("%s:%d: got a second document, want one", file, second.Line)
	} else if !errors.Is(err, io.EOF) {
		return nil, yamlError(file, err)
	}
	if len(doc.Cases) == 0 {
		return nil, fmt.Errorf("%s:1: cases: got none, want at least one", file)
	}
	return &doc, nil
}

// yamlError gives each fault its file and line.
func yamlError(file string, err error) error {
	typed, ok := errors.AsType[*yaml.TypeError](err)
	if !ok {
		at, rest, found := strings.Cut(strings.TrimPrefix(err.Error(), "yaml: line "), ": ")
		if n, err := strconv.Atoi(at); found && err == nil {
			return fmt.Errorf("%s:%d: expected YAML: %s", file, n, rest)
		}
		return fmt.Errorf("%s:1: expected YAML: %w", file, err)
	}
	var errs []error
	for _, text := range typed.Errors {
		text = strings.TrimPrefix(text, "line ")
		at, rest, _ := strings.Cut(text, ": ")
		if key, of, ok := strings.Cut(strings.TrimPrefix(rest, "field "), " not found in type "); ok {
			rest = unknownKey(key, of)
		}
		if said, _, ok := strings.Cut(rest, " into time.Duration"); ok {
			rest = "expected a duration in hours, minutes and seconds, such as 36h, 90m or 24h30m (a day is 24h), got " + strings.TrimPrefix(strings.TrimPrefix(said, "cannot unmarshal "), "!!str ")
		}
		errs = append(errs, fmt.Errorf("%s:%s: %s", file, at, rest))
	}
	return errors.Join(errs...)
}

// slip is what is wrong with a case, under one of its keys.
type slip struct {
	key string
	err error
}

// request builds the question a case asks, or says what the case lacks.
func (tc testCase) request(set *Set) (r Request, slips []slip) {
	refuse := func(key, format string, args ...any) {
		slips = append(slips, slip{key, fmt.Errorf(key+": "+format, args...)})
	}
	r = Request{Upstream: tc.Upstream, Method: tc.Method, Credential: tc.Credential}
	for _, needed := range [][2]string{{"name", tc.Name.text}, {"agent", tc.Agent}, {"upstream", tc.Upstream}, {"method", tc.Method}, {"time", tc.Time}, {"expect", tc.Expect}} {
		if needed[1] == "" {
			refuse(needed[0], "required, but missing%s", missing(needed[0]))
		}
	}
	var err error
	if r.Agent, err = spiffeid.FromString(tc.Agent); err != nil && tc.Agent != "" {
		refuse("agent", "got %q, want a SPIFFE ID: %w", tc.Agent, err)
	}
	if r.Now, err = time.Parse(time.RFC3339, tc.Time); err != nil && tc.Time != "" {
		refuse("time", "got %q, want one such as 2026-03-27T16:00:00+01:00", tc.Time)
	}
	if r.Target, err = tc.target(); err != nil {
		slips = append(slips, slip{"", err})
	}
	if tc.Expect != "allow" && tc.Expect != "deny" && tc.Expect != "" {
		refuse("expect", "got %q, want allow or deny", tc.Expect)
	}
	for _, name := range slices.Sorted(maps.Keys(tc.Posture)) {
		if set == nil || !set.posture[name] {
			refuse("posture", "got %q, want the name of a registered source%s", name, set.sources(name))
		}
		r.Posture = append(r.Posture, tc.Posture[name].fact(tc.Agent, name, r.Now))
	}
	return r, slips
}

// missing says what a key that every case needs is for, where its name does not.
func missing(key string) string {
	switch key {
	case "time":
		return `: want when the call is made, such as 2026-03-27T16:00:00+01:00, as a case has no "now"`
	case "expect":
		return ": want allow or deny"
	}
	return ""
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
