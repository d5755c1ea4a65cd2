package broker

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Where who asks leaves, one of those that wait asks in its place, and the others are told
// what that learns.
func TestOneAsksInPlaceOfWhoLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const others = 8
		var s speaks
		b, silent := &Broker{clock: time.Now}, errors.New("no answer")
		first, _ := s.asking.join()
		free := make(chan struct{})
		var own, told atomic.Int64
		for range others {
			go func() {
				q, asks, err := b.joinQuestion(&call{ctx: t.Context()}, &s, false)
				if !asks {
					if errors.Is(err, silent) {
						told.Add(1)
					}
					return
				}
				own.Add(1)
				<-free
				q.err = silent
				s.asking.end(q)
			}()
		}
		synctest.Wait()
		first.left = true
		s.asking.end(first)
		synctest.Wait()
		if own.Load() != 1 || told.Load() != 0 {
			t.Errorf("got %d that ask and %d that were told, want one and none", own.Load(), told.Load())
		}
		close(free)
		synctest.Wait()
		if own.Load() != 1 || told.Load() != others-1 {
			t.Errorf("at the end: got %d that ask and %d that were told, want one and the others", own.Load(), told.Load())
		}
	})
}

// What lists do without lasts for a while, and ends with what is learned.
func TestListsWaitInVainOnceInAWhile(t *testing.T) {
	now := time.Now()
	var s speaks
	if s.lateNow(now) {
		t.Error("got late before any list")
	}
	s.tooLate(now)
	if !s.lateNow(now) || !s.due(now) || s.lateNow(now.Add(unknownFor+time.Second)) {
		t.Errorf("got late %t, to be asked by calls %t, late after a while %t, want true, true, false", s.lateNow(now), s.due(now), s.lateNow(now.Add(unknownFor+time.Second)))
	}
	s.learn(eraSessions, now)
	if s.lateNow(now) {
		t.Error("got late of what is known")
	}
	over := now.Add(learnedFor + time.Second)
	if !s.due(over) {
		t.Fatal("what was learned is not to be asked again")
	}
	s.tooLate(over)
	if s.lateNow(over) || s.due(over) || s.at(over) != eraSessions {
		t.Errorf("known before: got late %t, due %t, era %d, want what was known for a while", s.lateNow(over), s.due(over), s.at(over))
	}
}
