package providers_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"mintmark/attest"
	"mintmark/internal/fault"
	"mintmark/providers"
)

func agent(t testing.TB, id string) attest.Identity {
	t.Helper()
	parsed, err := spiffeid.FromString(id)
	if err != nil {
		t.Fatal(err)
	}
	return attest.Proven(attest.Proof{ID: parsed, Attestor: "test"})
}

func TestTemplatesAreFilled(t *testing.T) {
	bot := agent(t, "spiffe://a.test/ns/prod/sa/bot")
	tests := map[string]struct {
		template, name, text string
		perAgent             bool
	}{
		"nothing":    {"team/app", "team/app", "team/app", false},
		"path":       {"agents/{subject_path}/key", "agents/ns,prod,sa,bot/key", "agents/ns,prod,sa,bot/key", true},
		"both":       {"{trust_domain}/{subject_path}", "a.test/ns,prod,sa,bot", "a.test/ns,prod,sa,bot", true},
		"whole":      {"{agent}", "{agent}", "spiffe://a.test/ns/prod/sa/bot", true},
		"json":       {`{"a":{},"b":"${aws:username}"}`, `{"a":{},"b":"${aws:username}"}`, `{"a":{},"b":"${aws:username}"}`, false},
		"not again":  {"{{trust_domain}}", "{a.test}", "{a.test}", true},
		"half a one": {"{subject_path", "{subject_path", "{subject_path", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got, err := providers.FillName(tt.template, bot); err != nil || got != tt.name {
				t.Errorf("name: got %q, %v, want %q", got, err, tt.name)
			}
			if got, err := providers.FillText(tt.template, bot); err != nil || got != tt.text {
				t.Errorf("text: got %q, %v, want %q", got, err, tt.text)
			}
			if got := providers.PerAgent("x", tt.template); got != tt.perAgent {
				t.Errorf("per agent: got %t, want %t", got, tt.perAgent)
			}
		})
	}
}

func TestTemplateRefusesWhoItCannotName(t *testing.T) {
	for name, tt := range map[string]struct {
		template string
		agent    attest.Identity
	}{
		"nobody":                 {"{subject_path}", attest.Identity{}},
		"no path":                {"{subject_path}", agent(t, "spiffe://a.test")},
		"a trust domain of dots": {"{trust_domain}", agent(t, "spiffe://../a")},
	} {
		got, err := providers.FillName(tt.template, tt.agent)
		if err == nil || got != "" || fault.HintOf(err) == "" {
			t.Errorf("%s: got %q, %v, want an error with a hint", name, got, err)
		}
	}
}

func TestUnknownPlaceholdersAreReported(t *testing.T) {
	var got []string
	report := func(field, _, came string) { got = append(got, field+" "+came) }
	providers.CheckName(report, "name", "{subject_path}/{agent}/{trust_domain}/{role}")
	providers.CheckText(report, "text", `{"a":"{agent}{Agent}","b":{}}`)
	providers.CheckName(report, "misspelt", "{subject-path}/{ subject_path }/{agent2}/${aws:userid}")
	if want := []string{"name {agent}", "name {role}", "text {Agent}", "misspelt {subject-path}", "misspelt { subject_path }", "misspelt {agent2}"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Whatever an agent is called, its name adds nothing that means something, and no
// other agent is named so.
func FuzzTemplate(f *testing.F) {
	f.Add("a.test", "/ns/prod/sa/bot", "b.test", "/ns/prod,sa/bot")
	f.Add("..", "/x", "a.test", "/..")
	f.Add("a.test", "", "a.test", "/*")
	f.Add("a.test", "/{agent}", "a.test", `/"},{"`)
	harmless := regexp.MustCompile(`^<[A-Za-z0-9._-]+\|[A-Za-z0-9._,-]+>$`)
	f.Fuzz(func(t *testing.T, domainA, pathA, domainB, pathB string) {
		fill := func(domain, path string) (id, name string) {
			parsed, err := spiffeid.FromString("spiffe://" + domain + path)
			if err != nil {
				return "", ""
			}
			name, err = providers.FillName("<{trust_domain}|{subject_path}>", attest.Proven(attest.Proof{ID: parsed, Attestor: "test"}))
			if (err == nil) != harmless.MatchString(name) || strings.Contains(name, "..|") && parsed.TrustDomain().Name() == ".." {
				t.Errorf("%s: got %q, %v, want a harmless name or an error", parsed, name, err)
			}
			return parsed.String(), name
		}
		a, nameA := fill(domainA, pathA)
		b, nameB := fill(domainB, pathB)
		if nameA != "" && nameA == nameB && a != b {
			t.Errorf("%s and %s are both called %q", a, b, nameA)
		}
	})
}
