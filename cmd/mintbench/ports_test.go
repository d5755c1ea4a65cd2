package main

import "testing"

// Of random ports two are alike sooner than one thinks.
func TestNoPortIsGivenTwice(t *testing.T) {
	w, given := &world{}, map[string]bool{}
	for range 600 {
		at, err := w.freePort()
		if err != nil {
			t.Fatal(err)
		}
		if given[at] {
			t.Fatalf("got %s twice", at)
		}
		given[at] = true
	}
}
