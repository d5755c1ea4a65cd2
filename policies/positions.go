package policies

import "go.yaml.in/yaml/v3"

// places knows where the cases of a test file stand, and what they say.
type places []*yaml.Node

// positions returns the places of the cases in content, which was decoded before.
func positions(content []byte) places {
	var document yaml.Node
	if yaml.Unmarshal(content, &document) != nil || len(document.Content) == 0 {
		return nil
	}
	list := valueOf(document.Content[0], "cases")
	if list == nil {
		return nil
	}
	return list.Content
}

// of returns the line and column of a key's value in the case with an index, or
// of the case where it does not say the key itself.
func (p places) of(i int, key string) (line, column int) {
	if i >= len(p) {
		return 1, 1
	}
	n := p[i]
	if value := valueOf(n, key); value != nil {
		n = value
	}
	return n.Line, n.Column
}

// valueOf returns the value of a mapping's key, or nil.
func valueOf(n *yaml.Node, key string) *yaml.Node {
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}
