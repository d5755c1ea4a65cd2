package demo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"mintmark/internal/trustdomain"
)

// madeUp is the key an agent in the demonstration invents.
const madeUp = "sk-made-up-by-the-agent-0123456789"

// calls lets the agents make the calls, and fails when one comes out otherwise
// than it must.
func (s *show) calls(ctx context.Context) error {
	for _, step := range []func(context.Context) error{s.allowed, s.strippedAuth, s.scrubbed, s.deniedTool, s.badScan, s.forged} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *show) allowed(ctx context.Context) error {
	s.say("\n1. The agent %s calls lookup_order.\n   It presents a token of its platform, and holds no key to the orders server.", s.domain.ID("agent", "shop"))
	return s.asShop(ctx, func(a *agent) error {
		answer, err := a.call(ctx, "lookup_order", map[string]any{"order": "1042"})
		if err != nil {
			return fmt.Errorf("expected the call to be allowed: %w", err)
		}
		s.say("   allowed: %q", answer)
		rec, err := s.last(ctx, "lookup_order")
		if err != nil {
			return err
		}
		s.say("   with a credential of %s: fingerprint %s, scopes %v, ends in %s", rec.Provider, rec.Fingerprint, rec.Scopes, time.Until(rec.NotAfter).Round(time.Second))
		return nil
	})
}

func (s *show) strippedAuth(ctx context.Context) error {
	s.say("\n2. The same call over mTLS, with an Authorization header that the agent made up.")
	svid, err := s.domain.X509SVID(s.domain.ID("agent", "shop"), trustdomain.X509Request{})
	if err != nil {
		return err
	}
	return s.as(ctx, evidence{bearer: madeUp, svid: svid}, func(a *agent) error {
		if _, err := a.call(ctx, "lookup_order", map[string]any{"order": "1043"}); err != nil {
			return fmt.Errorf("expected the call to be allowed: %w", err)
		}
		if s.upstream.saw(madeUp) {
			return errors.New("expected the made-up key to be stripped; it reached the server")
		}
		rec, err := s.last(ctx, "lookup_order")
		if err != nil {
			return err
		}
		s.say("   allowed: stripped %v; the server saw only the broker's credential (held already: %t)", rec.Stripped, rec.Cached)
		return nil
	})
}

func (s *show) scrubbed(ctx context.Context) error {
	s.say("\n3. A careless tool repeats its credential in its answer.")
	return s.asShop(ctx, func(a *agent) error {
		answer, err := a.call(ctx, "repeat_headers", nil)
		if err != nil {
			return fmt.Errorf("expected the call to be allowed: %w", err)
		}
		s.say("   the agent gets: %.40q…", answer)
		return nil
	})
}

func (s *show) deniedTool(ctx context.Context) error {
	s.say("\n4. The agent calls refund_order, which no policy permits.")
	return s.asShop(ctx, func(a *agent) error {
		_, err := a.call(ctx, "refund_order", map[string]any{"order": "1042"})
		return s.expectDenied(err, "no policy permits")
	})
}

func (s *show) badScan(ctx context.Context) error {
	s.say("\n5. The agent's vulnerability scan turns bad; it calls lookup_order again.")
	return s.asShop(ctx, func(a *agent) error {
		if err := s.scan("CRITICAL"); err != nil {
			return err
		}
		if err := s.await(ctx, "fail"); err != nil {
			return err
		}
		_, err := a.call(ctx, "lookup_order", map[string]any{"order": "1042"})
		if err := s.expectDenied(err, "no passing vulnerability scan"); err != nil {
			return err
		}
		if err := s.scan("LOW"); err != nil {
			return err
		}
		return s.await(ctx, "pass")
	})
}

func (s *show) forged(ctx context.Context) error {
	s.say("\n6. A stranger forges the agent's identity with a key of its own.")
	token, err := s.token(trustdomain.New("demo.example", trustdomain.Options{}))
	if err != nil {
		return err
	}
	a, err := s.connect(ctx, evidence{bearer: token})
	if err == nil {
		a.close()
	}
	return s.expectDenied(err, "expected a key of trust domain")
}

// expectDenied demands that err is a refusal in the broker's own words, and for
// the reason of which a part is given. A broker that is not there denies nothing.
func (s *show) expectDenied(err error, reason string) error {
	refusal, ok := errors.AsType[refusal](err)
	if !ok || !strings.Contains(string(refusal), reason) {
		return fmt.Errorf("expected the broker to refuse the call for %q, got %w", reason, orAllowed(err))
	}
	s.say("   denied: %v", err)
	return nil
}

func orAllowed(err error) error {
	if err == nil {
		return errors.New("it allowed")
	}
	return err
}
