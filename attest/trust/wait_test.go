package trust

import (
	"context"
	"testing"
	"time"
)

// An answer that comes as the wait ends is an answer: which of the two a goroutine is woken for
// is left to chance.
func TestAnAnswerAtTheEndOfTheWaitIsOne(t *testing.T) {
	w := &workloadAPI{trust: &Trust{options: Options{Wait: time.Minute}.withDefaults()}, ready: make(chan struct{}), alien: make(chan struct{})}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := w.wait(ended); err == nil {
		t.Error("got nil before there was an answer")
	}
	close(w.ready)
	for range 100 {
		if err := w.wait(ended); err != nil {
			t.Fatalf("got %v, want none", err)
		}
	}
}
