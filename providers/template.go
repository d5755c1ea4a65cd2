package providers

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"mintmark/attest"
	"mintmark/internal/fault"
)

// The placeholders of templates that the agent's identity fills.
const (
	trustDomain = "{trust_domain}" // a.test
	subjectPath = "{subject_path}" // /ns/prod/sa/bot as ns,prod,sa,bot
	wholeAgent  = "{agent}"        // spiffe://a.test/ns/prod/sa/bot
)

// PerAgent reports whether any of the templates has a placeholder, so that what
// is made of it is the agent's own.
func PerAgent(templates ...string) bool {
	for _, t := range templates {
		for _, placeholder := range [...]string{trustDomain, subjectPath, wholeAgent} {
			if strings.Contains(t, placeholder) {
				return true
			}
		}
	}
	return false
}

// CheckName reports a template of FillName with a placeholder that is unknown, or that
// CheckApart reports.
func CheckName(report func(field, want, got string), field, template string) {
	check(report, field, template, trustDomain, subjectPath)
}

// CheckText reports a template of FillText with a placeholder that is unknown, or that
// CheckApart reports.
func CheckText(report func(field, want, got string), field, template string) {
	check(report, field, template, trustDomain, subjectPath, wholeAgent)
}

func check(report func(field, want, got string), field, template string, known ...string) {
	CheckApart(report, field, template)
	for _, found := range regexp.MustCompile(`\{ *[A-Za-z_][A-Za-z0-9_ -]*\}`).FindAllString(template, -1) {
		if !slices.Contains(known, found) {
			report(field, "no placeholders but "+strings.Join(known, ", "), found)
		}
	}
}

// WithoutPlaceholders returns what a template of FillName says in any case.
func WithoutPlaceholders(template string) string {
	return strings.NewReplacer(trustDomain, "", subjectPath, "").Replace(template)
}

// WithoutAnyPlaceholder returns what a template of FillText or FillSubject says in any
// case.
func WithoutAnyPlaceholder(template string) string {
	return strings.ReplaceAll(WithoutPlaceholders(template), wholeAgent, "")
}

// FillName fills {trust_domain} and {subject_path} of a name, a path or a
// policy. A "/" of the agent's path becomes ",", which no SPIFFE ID has: no agent
// is another's parent folder, and different agents have different names.
func FillName(template string, agent attest.Identity) (string, error) {
	return fill(template, agent, trustDomain, subjectPath)
}

// FillText fills {agent} too, for a value that nothing takes apart at its slashes.
func FillText(template string, agent attest.Identity) (string, error) {
	return fill(template, agent, trustDomain, subjectPath, wholeAgent)
}

// FillSubject fills what FillText does, and leaves the "/" of the agent's path: for
// whom a token is about, who is known by that path elsewhere, and for what may be
// taken for a list with "," between.
func FillSubject(template string, agent attest.Identity) (string, error) {
	return fillWith("/", template, agent, trustDomain, subjectPath, wholeAgent)
}

func fill(template string, agent attest.Identity, known ...string) (string, error) {
	return fillWith(",", template, agent, known...)
}

// fillWith puts between for each "/" of the agent's path.
func fillWith(between, template string, agent attest.Identity, known ...string) (string, error) {
	if !PerAgent(template) {
		return template, nil
	}
	if agent.IsZero() {
		return "", fault.New("lease", fault.Internal, "this credential names the agent, and the call has no proven one")
	}
	id := agent.ID()
	values := map[string]string{trustDomain: id.TrustDomain().Name(), subjectPath: strings.TrimPrefix(id.Path(), "/"), wholeAgent: id.String()}
	var pairs []string
	for _, k := range known {
		if err := plain(values[k]); err != nil && strings.Contains(template, k) {
			return "", fault.Wrap("lease", fault.Internal, "the agent's name cannot be put into its credential", fmt.Errorf("fill %s: %w", k, err))
		}
		if k == subjectPath {
			values[k] = strings.ReplaceAll(values[k], "/", between)
		}
		pairs = append(pairs, k, values[k])
	}
	return strings.NewReplacer(pairs...).Replace(template), nil
}

// plain demands what SPIFFE allows, and with it that a value has no meaning of
// its own wherever it is put: no quote for JSON, no wildcard or variable for IAM,
// no separator for a list, no step up for a path.
func plain(value string) error {
	if value == "" || value == "." || value == ".." {
		return errors.New("got an empty name, or one of dots, want another")
	}
	for _, r := range value {
		if !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("._-/:", r)) {
			return fmt.Errorf("got the character %q, want letters, digits and any of . _ - / : and no other", r)
		}
	}
	return nil
}
