package main

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

func TestWhatLibrariesPrintIsNotShown(t *testing.T) {
	var out bytes.Buffer
	if _, err := io.WriteString(hushed{&out}, `Unsolicited response received on idle HTTP channel starting with "Bearer canary-5f1c2d"`); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); strings.Contains(got, "canary") || !strings.Contains(got, `"bytes":`) {
		t.Errorf("got %q, want that something was printed and not what", got)
	}
}
