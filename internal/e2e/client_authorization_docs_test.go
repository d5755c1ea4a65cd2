//go:build e2e

package e2e_test

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"strings"
	"testing"
)

// The table in docs/providers.md says of each scenario of the suite whether it runs
// here, and its introduction how many do.
func TestClientAuthorizationIsDocumented(t *testing.T) {
	t.Parallel()
	want := map[string]bool{} // by name: whether it runs
	for _, s := range authScenarios() {
		want[strings.TrimPrefix(s.name, "auth/")] = true
	}
	for _, name := range notABrokers() {
		want[strings.TrimPrefix(name, "auth/")] = false
	}
	text, err := os.ReadFile("../../docs/providers.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "### Conformance\n")
	if !found {
		t.Fatal("docs/providers.md: got no section Conformance")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	counts := fmt.Sprintf("Of its %d scenarios %d pass, and the other %d", len(want), len(authScenarios()), len(notABrokers()))
	if !strings.Contains(strings.Join(strings.Fields(section), " "), counts) {
		t.Errorf("docs/providers.md: want %q", counts)
	}
	documented := map[string]bool{}
	for line := range strings.Lines(section) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 || !strings.Contains(cells[1], "`") {
			continue
		}
		for _, name := range named(cells[1], want) {
			documented[name] = strings.HasPrefix(strings.TrimSpace(cells[2]), "pass")
		}
	}
	if !maps.Equal(documented, want) {
		t.Errorf("docs/providers.md: got %v, want %v", documented, want)
	}
}

// named returns the scenarios in a cell. One that begins with a hyphen begins as the
// first one does.
func named(cell string, known map[string]bool) (names []string) {
	for _, quoted := range regexp.MustCompile("`[^`]+`").FindAllString(cell, -1) {
		name := strings.Trim(quoted, "`")
		for end := 0; len(names) > 0 && name[0] == '-' && end <= len(names[0]); end++ {
			if _, ok := known[names[0][:end]+name]; ok {
				name = names[0][:end] + name
			}
		}
		names = append(names, name)
	}
	return names
}
