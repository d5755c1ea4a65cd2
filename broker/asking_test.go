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
				q, asks, err := b.joinQuestion(&call{ctx: t.Context()}, &s)
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
