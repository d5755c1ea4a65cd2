package main

import (
	"testing"

	"mintmark/broker/bundle"
)

// A provider that does not say what it makes can be registered under a scheme that
// never takes it.
func TestEveryProviderSaysWhatItMints(t *testing.T) {
	all := kinds().Settings().Providers
	if len(all) < 10 {
		t.Fatalf("got %d kinds, want all", len(all))
	}
	for kind, settings := range all {
		if _, ok := settings().(bundle.Minter); !ok {
			t.Errorf("provider kind %s: its settings are no bundle.Minter", kind)
		}
	}
}
