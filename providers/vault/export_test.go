package vault

import "mintmark/providers"

// MaterialOf makes of an answer's data what the fields say.
func MaterialOf(f Fields, data map[string]any) (providers.Kind, providers.Material, error) {
	m, err := f.material(data)
	return f.kind(), m, err
}

// FillPath fills a path for the agent of a request.
var FillPath = fillPath
