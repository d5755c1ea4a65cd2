package trust

import (
	"context"
	"errors"
	"sync"
	"time"
)

// tokens keeps one JWT-SVID for each audience. Audiences are few: they come
// from the configuration.
type tokens struct {
	fetch func(ctx context.Context, audience string) (token, error)
	clock func() time.Time
	// signed reports whether a token is by a key that its domain still has: one that was
	// taken away, as after a theft, signs nothing that others believe.
	signed func(value, audience string) bool

	mu    sync.Mutex
	slots map[string]*slot
}

// token is a JWT-SVID and its end.
type token struct {
	value   string
	expires time.Time
}

// slot is one audience's token. Whoever fills turn may touch the rest.
type slot struct {
	turn    chan struct{}
	token   token
	refresh time.Time
}

// get returns a token for audience: one fetch at a time, however many wait.
func (t *tokens) get(ctx context.Context, audience string) (string, error) {
	s := t.slot(audience)
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	now := t.clock()
	signed := s.token.value != "" && t.signed(s.token.value, audience)
	if signed && now.Before(s.refresh) {
		return s.token.value, nil
	}
	if err := s.renew(now, signed, func() (token, error) { return t.fetch(ctx, audience) }); err != nil {
		return "", err
	}
	return s.token.value, nil
}

// renew fetches a token. It keeps the one it has when the fetch fails and that
// one is still good and signed, and then leaves the source alone for a while.
func (s *slot) renew(now time.Time, signed bool, fetch func() (token, error)) error {
	const retry = 5 * time.Second
	fetched, err := fetch()
	switch {
	case err == nil && now.Before(fetched.expires):
		s.token, s.refresh = fetched, now.Add(fetched.expires.Sub(now)/2)
		return nil
	case err == nil:
		err = errors.New("got a token that has expired, want one to use")
	}
	if !signed || !now.Before(s.token.expires) {
		return err
	}
	s.refresh = now.Add(min(retry, s.token.expires.Sub(now)))
	return nil
}

func (t *tokens) slot(audience string) *slot {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.slots == nil {
		t.slots = map[string]*slot{}
	}
	s, ok := t.slots[audience]
	if !ok {
		s = &slot{turn: make(chan struct{}, 1)}
		t.slots[audience] = s
	}
	return s
}
