package main

import (
	"encoding"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mintmark/broker/bundle"
)

const configurationPage = "../../docs/configuration.md"

func page(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// What the page shows as a whole configuration is one.
func TestTheConfigurationPagesExampleIsSound(t *testing.T) {
	examples := blocks(page(t, configurationPage), "yaml")
	if len(examples) != 1 {
		t.Fatalf("got %d blocks of YAML, want the one that is read here", len(examples))
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, bundle.ConfigName), []byte(examples[0]), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := load(dir); err != nil {
		t.Error(err)
	}
	for _, f := range yamlFields(reflect.TypeFor[bundle.Config]()) {
		if !strings.Contains("\n"+examples[0], "\n"+f.key+":") {
			t.Errorf("%s: not in the whole example", f.key)
		}
	}
}

// Each key that a configuration can have is a line of the page, under the
// heading of what holds it, and no line is of a key that there is not.
func TestTheConfigurationPageHasEveryKey(t *testing.T) {
	text := page(t, configurationPage)
	ofASchemes := map[string][]string{} // what only some schemes read has its line on their page
	if schemes, err := os.ReadFile("../../docs/schemes.md"); err == nil {
		ofASchemes = rows(string(schemes))
	}
	for heading, holder := range holders(reflect.TypeFor[bundle.Config](), "The file") {
		listed := rows(section(text, heading))
		var known []string
		for _, f := range yamlFields(holder) {
			known = append(known, f.key)
			cells, ok := listed[f.key]
			switch {
			case !ok && heading == "credentials" && ofASchemes[f.key] != nil:
			case !ok:
				t.Errorf("## %s: no line for the key %s", heading, f.key)
			case len(cells) != 3 || (cells[1] == "required") != f.required:
				t.Errorf("## %s: %s: got %q, want type, default and purpose, and required %t", heading, f.key, cells, f.required)
			}
		}
		for key := range listed {
			ofAKind := heading == "attestors" // whose settings have their lines here too
			if !ofAKind && !slices.Contains(known, key) {
				t.Errorf("## %s: a line for %s, which is no key", heading, key)
			}
		}
	}
}

// The defaults on the page are those of a configuration that leaves all out.
func TestTheConfigurationPagesDefaultsAreThose(t *testing.T) {
	text := page(t, configurationPage)
	dir := t.TempDir()
	least := "trust_domain: example.org\ntrust: {workload_api: \"unix:///run/agent.sock\"}\nlisteners: [{address: \"127.0.0.1:1\"}]\n" +
		"attestors: [{kind: x509-svid}]\nupstreams: {a: {url: \"https://a.example/mcp\", unauthenticated: true}}\n"
	if err := os.WriteFile(filepath.Join(dir, bundle.ConfigName), []byte(least), 0o600); err != nil {
		t.Fatal(err)
	}
	bd, _, err := load(dir)
	if err != nil {
		t.Fatal(err)
	}
	for heading, value := range map[string]any{"upstreams": bd.Config.Upstreams["a"], "limits": bd.Config.Limits, "audit": bd.Config.Audit} {
		listed := rows(section(text, heading))
		for _, f := range yamlFields(reflect.TypeOf(value)) {
			if len(listed[f.key]) < 2 {
				t.Errorf("## %s: no default of %s", heading, f.key)
				continue
			}
			said := strings.Trim(listed[f.key][1], "`")
			if said == listed[f.key][1] || f.key == "unauthenticated" { // no value, or not that of the least
				continue
			}
			got := reflect.ValueOf(value).Field(f.index)
			if want := parsed(t, got.Type(), said); fmt.Sprint(got.Interface()) != fmt.Sprint(want) {
				t.Errorf("## %s: %s: said to be %s, got %v", heading, f.key, said, got.Interface())
			}
		}
	}
}

// parsed returns a default as the page spells it in the type of its key.
func parsed(t *testing.T, as reflect.Type, text string) any {
	t.Helper()
	v := reflect.New(as)
	if u, ok := v.Interface().(encoding.TextUnmarshaler); ok {
		if err := u.UnmarshalText([]byte(text)); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		return v.Elem().Interface()
	}
	return text
}

type yamlField struct {
	key      string
	index    int
	required bool
}

// yamlFields returns the keys of a configuration's struct, without the settings
// of its kind.
func yamlFields(holder reflect.Type) (all []yamlField) {
	for i := range holder.NumField() {
		f := holder.Field(i)
		if key, _, _ := strings.Cut(f.Tag.Get("yaml"), ","); key != "" {
			all = append(all, yamlField{key: key, index: i, required: f.Tag.Get("check") == "required"})
		}
	}
	return all
}

// holders returns every struct with keys in a configuration, by the key that
// it, or a list or mapping of it, is the value of.
func holders(t reflect.Type, key string) map[string]reflect.Type {
	all := map[string]reflect.Type{key: t}
	for _, f := range yamlFields(t) {
		value := t.Field(f.index).Type
		for value.Kind() == reflect.Map || value.Kind() == reflect.Slice {
			value = value.Elem()
		}
		if value.Kind() == reflect.Struct && len(yamlFields(value)) > 0 {
			for k, v := range holders(value, f.key) {
				all[k] = v
			}
		}
	}
	return all
}

// section returns what a page says under a heading.
func section(text, heading string) string {
	_, rest, _ := strings.Cut(text, "\n## "+heading+"\n")
	before, _, _ := strings.Cut(rest, "\n## ")
	return before
}

// rows returns the lines of tables that begin with a key, and their further
// cells.
func rows(text string) map[string][]string {
	all := map[string][]string{}
	for _, match := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (.*) \\|$").FindAllStringSubmatch(text, -1) {
		all[match[1]] = strings.Split(match[2], " | ")
	}
	return all
}
