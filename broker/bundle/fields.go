package bundle

import (
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// isKey reports whether n can be a key: text that is no merge.
func isKey(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && !isNull(n) && n.ShortTag() != "!!merge"
}

// entry is one key of a mapping with its value.
type entry struct{ key, value *yaml.Node }

// entries returns the entries of n, the first of each key.
func entries(n *yaml.Node) []entry {
	seen := map[string]bool{}
	var all []entry
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if !isKey(key) || seen[key.Value] {
			continue // vet refused it
		}
		seen[key.Value] = true
		all = append(all, entry{key, n.Content[i+1]})
	}
	return all
}

// field is one field of a configuration struct.
type field struct {
	name     string
	index    int
	required bool
	json     bool // text that is JSON
	settings bool // takes the keys that the other fields leave
}

// fields returns the fields of t that a file can set. A field without a yaml
// tag cannot be set.
func fields(t reflect.Type) []field {
	var all []field
	for i := range t.NumField() {
		tag, ok := t.Field(i).Tag.Lookup("yaml")
		if !ok || tag == "-" {
			continue
		}
		name, option, _ := strings.Cut(tag, ",")
		all = append(all, field{
			name:     name,
			index:    i,
			required: t.Field(i).Tag.Get("check") == "required",
			json:     t.Field(i).Tag.Get("check") == "json",
			settings: option == "settings",
		})
	}
	return all
}
