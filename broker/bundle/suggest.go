package bundle

import (
	"fmt"
	"strconv"
)

// DidYouMean returns a hint at the one of names nearest to got, `: did you mean "x"?`,
// or "" when none is near.
func DidYouMean(got string, names []string) string {
	best := nearest(got, names)
	if best == "" {
		return ""
	}
	return fmt.Sprintf(": did you mean %q?", best)
}

// nearest returns the one of names that got is nearly, or "".
func nearest(got string, names []string) string {
	best, distance := "", len(got)/3+2
	for _, name := range names {
		if n := editDistance(got, name); n < distance {
			best, distance = name, n
		}
	}
	return best
}

// editDistance returns how many single-byte changes lead from a to b, or more
// than any name's length for texts too long to be a name.
func editDistance(a, b string) int {
	const longest = 64
	if len(a) > longest || len(b) > longest {
		return longest
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

func index(i int) string { return "[" + strconv.Itoa(i) + "]" }
