package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
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
	config, policies := blocks(string(text), "yaml"), blocks(string(text), "cedar")
	if len(config) == 0 || len(policies) == 0 {
		t.Fatalf("got %d blocks of YAML and %d of Cedar, want both", len(config), len(policies))
	}
	write("mintmark.yaml", strings.Join(config, "\n"))
	for i, p := range policies {
		write(fmt.Sprintf("%d.cedar", i), p)
	}
	bd, set, err := load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(bd.Config.Upstreams) == 0 || len(set.IDs()) == 0 {
		t.Errorf("got %d upstreams and %d policies, want both", len(bd.Config.Upstreams), len(set.IDs()))
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

// blocks returns the code blocks of a Markdown text that are in a language.
func blocks(text, language string) (found []string) {
	for _, match := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(text, -1) {
		found = append(found, match[1])
	}
	return found
}
