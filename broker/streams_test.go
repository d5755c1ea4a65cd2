package broker_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"mintmark/broker"
	"mintmark/internal/fault"
)

// What can't be judged is cut, and ends nothing else.
func TestAPanicOverAStreamCutsIt(t *testing.T) {
	w, err := broker.Watch(func() time.Time { panic("hunter2") })
	if err != nil {
		t.Fatal(err)
	}
	w.Check()
	if err := context.Cause(w.Ended); fault.KindOf(err) != fault.Internal || err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v, want it ended, by an error without what was thrown", err)
	}
}

// Answers begin and end while one is judged, however long that takes, and what it
// is judged by lasts until then, though it ends meanwhile.
func TestNoAnswerWaitsWhileAnotherIsJudged(t *testing.T) {
	begun, free := make(chan struct{}), make(chan struct{})
	w, err := broker.Watch(func() time.Time {
		close(begun)
		<-free
		return time.Now()
	})
	if err != nil {
		t.Fatal(err)
	}
	judged := make(chan struct{})
	go func() {
		defer close(judged)
		w.Check()
	}()
	<-begun
	left, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		w.Another()
		w.End()
		close(left)
		w.Wait()
		if !errors.Is(w.Ended.Err(), context.Canceled) {
			t.Error("what the stream is judged by may end before it is judged")
		}
	}()
	select {
	case <-left:
	case <-time.After(patience):
		t.Error("answers wait while another is judged")
	}
	close(free)
	<-judged
	<-over
}
