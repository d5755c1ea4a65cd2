package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"mintmark/policies"
)

// What the README shows is a directory that the program takes.
func TestTheReadmesExampleIsSound(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, content string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	config, cedar := blocks(string(text), "yaml"), blocks(string(text), "cedar")
	if len(config) == 0 || len(cedar) == 0 {
		t.Fatalf("got %d blocks of YAML and %d of Cedar, want both", len(config), len(cedar))
	}
	write("mintmark.yaml", strings.Join(config, "\n"))
	for i, p := range cedar {
		write(fmt.Sprintf("%d.cedar", i), p)
	}
	bd, set, err := load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(bd.Config.Upstreams) == 0 || len(set.IDs()) == 0 {
		t.Errorf("got %d upstreams and %d policies, want both", len(bd.Config.Upstreams), len(set.IDs()))
	}
	cases := blocks(string(text), "yaml test")
	if len(cases) != 1 {
		t.Fatalf("got %d blocks of cases, want one", len(cases))
	}
	results, err := policies.RunTests(set, knownOf(bd), "README.md", []byte(cases[0]))
	if err != nil || len(results) == 0 || len(results.Failed()) > 0 {
		t.Errorf("cases: got %v and %v, want all passed", results, err)
	}
}

// Each kind of provider that can be registered has a section that names its fields
// and what it means for security.
func TestEveryKindOfProviderIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/providers.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for section := range strings.SplitSeq(string(text), "\n## ") {
		name, body, _ := strings.Cut(section, "\n")
		sections[name] = body
	}
	for kind := range kinds().Providers {
		if body := sections[kind]; !strings.Contains(body, "*Security.*") || !strings.Contains(body, "Tested ") {
			t.Errorf("docs/providers.md: got no section %q that says what it was tested against and has a *Security.* note", kind)
		}
	}
}

// Each registration of an OAuth provider that docs/providers.md shows is one that the
// program takes.
func TestTheOAuthExamplesAreSound(t *testing.T) {
	text, err := os.ReadFile("../../docs/providers.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, block := range blocks(string(text), "yaml") {
		if !strings.Contains(block, "kind: oauth") {
			continue
		}
		found++
		dir := t.TempDir()
		for name, content := range map[string]string{
			"mintmark.yaml": `trust_domain: example.org
trust: {workload_api: "unix:///run/spire/agent.sock"}
listeners: [{address: "127.0.0.1:8443"}]
attestors: [{kind: x509-svid}]
upstreams: {open: {url: "https://open.example.org/mcp", unauthenticated: true}}
` + block,
			"policies.cedar": "permit (principal, action, resource);\n",
		} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := load(dir); err != nil {
			t.Errorf("%v in:\n%s", err, block)
		}
	}
	if found < 2 {
		t.Errorf("got %d blocks of YAML, want two at least", found)
	}
}

// blocks returns the code blocks of a Markdown text that are in a language.
func blocks(text, language string) (found []string) {
	for _, match := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(text, -1) {
		found = append(found, match[1])
	}
	return found
}
