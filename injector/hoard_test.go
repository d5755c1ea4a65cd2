package injector

import (
	"bytes"
	"strings"
	"testing"
)

// What is moved is whole, and nothing of it is left where it was, nor behind its end.
func TestHoardMovesTexts(t *testing.T) {
	want := []string{"first", "", strings.Repeat("x", 1<<20), "last"}
	texts, before := make([][]byte, len(want)), make([][]byte, len(want))
	moved := make([]*[]byte, len(want))
	for i, text := range want {
		texts[i] = append([]byte(text), "more"...)[:len(text)]
		before[i], moved[i] = texts[i][:len(text)+4], &texts[i]
	}
	hoard(moved...)
	for i, text := range texts {
		if string(text) != want[i] || cap(text) != len(text) {
			t.Errorf("text %d: got %d bytes with room for %d, want the %d that there were and no more", i, len(text), cap(text), len(want[i]))
		}
		if len(bytes.Trim(before[i], "\x00")) > 0 {
			t.Errorf("text %d: it is still where it was", i)
		}
	}
	hoard() // none is none
}
