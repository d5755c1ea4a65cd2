package main

import (
	"context"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// What drain says is seen for the whole delay before anything ends.
func TestLinger(t *testing.T) {
	for name, delay := range map[string]time.Duration{"none": 0, "a while": 15 * time.Second} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			drained := make(chan struct{}, 1)
			start := time.Now()
			later, end := linger(ctx, delay/100, func() { drained <- struct{}{} })
			defer end()
			cancel()
			<-later.Done()
			if took := time.Since(start); took < delay/100 || (len(drained) == 1) != (delay > 0) {
				t.Errorf("got the end after %v, drained %d times, want it after %v", took, len(drained), delay/100)
			}
		})
	}
}

func TestLingerEndsWithWhatItIsFor(t *testing.T) {
	later, end := linger(t.Context(), time.Hour, func() { t.Error("drained before its context ended") })
	if later.Err() != nil {
		t.Error("got a context that has ended")
	}
	end()
	if later.Err() == nil {
		t.Error("got a context that has not ended")
	}
}

func TestTheSecondSignalEndsTheWait(t *testing.T) {
	for n, want := range map[int]time.Duration{0: time.Minute, 1: time.Minute, 2: 0} {
		synctest.Test(t, func(t *testing.T) {
			signals := make(chan os.Signal, 2)
			for range n {
				signals <- syscall.SIGTERM
			}
			start := time.Now()
			wait(t.Context(), time.Minute, signals)
			if took := time.Since(start); took != want {
				t.Errorf("after %d signals: got the end after %v, want %v", n, took, want)
			}
		})
	}
}
