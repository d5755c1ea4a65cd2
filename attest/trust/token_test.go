package trust

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// issuer counts what it issues and can be told to fail.
type issuer struct {
	mu     sync.Mutex
	issued int
	life   time.Duration
	err    error
}

func (i *issuer) fetch(_ context.Context, audience string) (token, error) {
	<-time.After(time.Millisecond) // on the bubble's clock: others come to wait
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.err != nil {
		return token{}, i.err
	}
	i.issued++
	return token{value: fmt.Sprint(audience, i.issued), expires: time.Now().Add(i.life)}, nil
}

func (i *issuer) fail(err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.err = err
}

func always(string, string) bool { return true }

func expect(t *testing.T, tokens *tokens, audience, want string) {
	t.Helper()
	if got, err := tokens.get(t.Context(), audience); err != nil || got != want {
		t.Errorf("at %s: got %q, %v, want %q", time.Now().Format(time.TimeOnly), got, err, want)
	}
}

func TestTokensAreKeptForHalfTheirLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{life: time.Minute}
		tokens := &tokens{fetch: i.fetch, clock: time.Now, signed: always}
		expect(t, tokens, "a", "a1")
		expect(t, tokens, "b", "b2")
		<-time.After(29 * time.Second)
		expect(t, tokens, "a", "a1")
		<-time.After(2 * time.Second)
		expect(t, tokens, "a", "a3")
	})
}

func TestTokenOutlivesItsSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, down := &issuer{life: time.Minute}, errors.New("down")
		tokens := &tokens{fetch: i.fetch, clock: time.Now, signed: always}
		expect(t, tokens, "a", "a1")
		i.fail(down)
		for range 5 { // to 50s
			<-time.After(10 * time.Second)
			expect(t, tokens, "a", "a1")
		}
		<-time.After(10 * time.Second)
		if got, err := tokens.get(t.Context(), "a"); !errors.Is(err, down) || got != "" {
			t.Errorf("after its end: got %q, %v, want the source's error", got, err)
		}
		i.fail(nil)
		expect(t, tokens, "a", "a2")
	})
}

func TestExpiredTokenIsNotHandedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{life: -time.Second}
		tokens := &tokens{fetch: i.fetch, clock: time.Now, signed: always}
		if got, err := tokens.get(t.Context(), "a"); err == nil || got != "" {
			t.Errorf("got %q, %v, want an error", got, err)
		}
	})
}

func TestOneFetchHoweverManyWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{life: time.Minute}
		tokens := &tokens{fetch: i.fetch, clock: time.Now, signed: always}
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() { expect(t, tokens, "a", "a1") })
		}
		group.Wait()
		if i.issued != 1 {
			t.Errorf("issued %d, want 1", i.issued)
		}
	})
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := make(chan struct{})
		tokens := &tokens{clock: time.Now, signed: always, fetch: func(context.Context, string) (token, error) {
			<-stuck
			return token{}, errors.New("released")
		}}
		done := make(chan struct{})
		go func() { defer close(done); _, _ = tokens.get(t.Context(), "a") }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := tokens.get(ctx, "a"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the context's error", err)
		}
		close(stuck)
		<-done
	})
}

// What is signed by a key that was taken away is fetched again, and is no token to
// fall back to.
func TestATokenEndsWithTheKeyThatSignedIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, down, gone := &issuer{life: time.Minute}, errors.New("down"), ""
		tokens := &tokens{fetch: i.fetch, clock: time.Now, signed: func(value, audience string) bool { return audience == "a" && value != gone }}
		expect(t, tokens, "a", "a1")
		expect(t, tokens, "a", "a1")
		gone = "a1"
		expect(t, tokens, "a", "a2")
		gone = "a2"
		i.fail(down)
		if got, err := tokens.get(t.Context(), "a"); !errors.Is(err, down) || got != "" {
			t.Errorf("without its key: got %q, %v, want the source's error", got, err)
		}
	})
}
