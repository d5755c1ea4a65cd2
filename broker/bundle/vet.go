package bundle

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// vet walks the tree below n and refuses what makes YAML mean something other
// than what it looks like (tags, anchors, aliases, merge keys, duplicate keys,
// keys that are not text), and every value that is a secret.
func (d *decoder) vet(n *yaml.Node, path string) {
	d.vetNode(n, path)
	switch n.Kind {
	case yaml.MappingNode:
		d.vetMapping(n, path)
	case yaml.SequenceNode:
		for i, item := range n.Content {
			d.vet(item, path+index(i))
		}
	}
}

func (d *decoder) vetNode(n *yaml.Node, path string) {
	switch {
	case n.Kind == yaml.AliasNode:
		d.report(n, path, "expected the value itself, got an alias: aliases are not allowed here")
	case n.Anchor != "":
		d.report(n, path, "expected a plain value, got an anchor: anchors are not allowed here")
	case n.Style&yaml.TaggedStyle != 0:
		d.report(n, path, "expected a plain value, got a tag: tags are not allowed here")
	}
	if n.Kind != yaml.ScalarNode {
		return
	}
	if name := d.secrets.find(n.Value); name != "" && !d.reported(n) {
		d.report(n, path, "%s", found(name))
	}
}

// reported reports whether the secret in n was already found in the text of
// the lines that n covers.
func (d *decoder) reported(n *yaml.Node) bool {
	last := n.Line + strings.Count(n.Value, "\n") + 1
	return slices.ContainsFunc(d.known, func(p Problem) bool { return p.Line >= n.Line && p.Line <= last })
}

func (d *decoder) vetMapping(n *yaml.Node, path string) {
	seen := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if !isKey(key) {
			d.refuseKey(key, path)
			continue
		}
		name := d.join(path, key.Value)
		d.vetNode(key, name)
		if first, ok := seen[key.Value]; ok {
			d.report(key, name, "duplicate key: already set in line %d", first.Line)
			continue
		}
		seen[key.Value] = key
		d.vet(value, name)
	}
}

func (d *decoder) refuseKey(key *yaml.Node, path string) {
	if key.Kind == yaml.ScalarNode && key.ShortTag() == "!!merge" {
		d.report(key, path, "expected a key, got a merge: merge keys are not allowed here")
		return
	}
	d.report(key, path, "expected a key that is text, got %s", d.describe(key, path))
}
