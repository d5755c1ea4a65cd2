package main

import (
	"bytes"
	"log"
	"strings"
	"testing"
)

func TestWhatLibrariesPrintIsNotShown(t *testing.T) {
	var out bytes.Buffer
	l := log.New(hushed{&out}, "", log.LstdFlags)
	l.Printf("Unsolicited response received on idle HTTP channel starting with %q", "Bearer canary-5f1c2d")
	if got := out.String(); strings.Contains(got, "canary") || !strings.Contains(got, `"bytes":`) {
		t.Errorf("got %q, want that something was printed and not what", got)
	}
}
