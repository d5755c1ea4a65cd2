package broker_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"mintmark/broker"
)

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
