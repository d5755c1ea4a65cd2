package policies

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go/types"
)

// annotations are the ones that say something here.
func annotations() []string { return []string{"hint", "id"} }

// misspelled returns what is to be said of annotations that are nearly one of ours.
// Others are as they should be: Cedar lets everybody have their own.
func misspelled(given map[types.AnnotationKey]types.String, where place) []problem {
	var out []problem
	for _, name := range slices.Sorted(maps.Keys(given)) {
		for _, ours := range annotations() {
			if string(name) == ours || !oneSlip(string(name), ours) {
				continue
			}
			out = append(out, problem{where.at(findAnnotation(where.tokens, string(name))), fmt.Sprintf(
				"annotation, expected @%s, got %q, which does nothing: did you mean %q?", strings.Join(annotations(), " or @"), "@"+name, "@"+ours)})
		}
	}
	return out
}

// oneSlip reports whether got is want with one letter more, less or other, or two
// neighbours in the other order, whatever their case.
func oneSlip(got, want string) bool {
	got = strings.ToLower(got)
	alike, longest := commonEnds(got, want), max(len(got), len(want))
	if alike >= longest-1 {
		return true
	}
	if len(got) != len(want) || alike != longest-2 {
		return false
	}
	i := 0
	for got[i] == want[i] {
		i++
	}
	return i+1 < longest && got[i] == want[i+1] && got[i+1] == want[i]
}

// findAnnotation returns the index of the "@" of the annotation name, or -1.
func findAnnotation(tokens []token, name string) int {
	for i := 1; i < len(tokens); i++ {
		if tokens[i].text == name && tokens[i-1].text == "@" {
			return i - 1
		}
	}
	return -1
}
