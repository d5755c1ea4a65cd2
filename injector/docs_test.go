package injector

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mintmark/broker/bundle"
)

// docs/schemes.md has a section on each scheme there is, and on no other; each says
// what it strips and what it is worth, and each setting is somewhere.
func TestTheDocsHaveEveryScheme(t *testing.T) {
	content, err := os.ReadFile("../docs/schemes.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(content)
	_, schemes, _ := strings.Cut(text, "\n## The schemes\n")
	schemes, _, _ = strings.Cut(schemes, "\n## ")
	var named []string
	for section := range strings.SplitSeq(schemes, "\n### ") {
		name, rest, _ := strings.Cut(section, "\n")
		if name == "" {
			continue
		}
		named = append(named, name)
		if !strings.Contains(rest, "\n*Strips.* ") || !strings.Contains(rest, "\n*Security.* ") {
			t.Errorf("%s: want what it strips and a note on security", name)
		}
	}
	want := bundle.InjectionSchemes()
	slices.Sort(want)
	slices.Sort(named)
	if !slices.Equal(named, want) {
		t.Errorf("got sections on %q, want %q", named, want)
	}
	for f := range reflect.TypeFor[bundle.Injection]().Fields() {
		name := f.Tag.Get("yaml")
		if known := regexp.MustCompile("`" + name + "`").MatchString(text); !known && !slices.Contains([]string{"provider", "scheme", "tools"}, name) {
			t.Errorf("want the setting %s explained", name)
		}
	}
}
