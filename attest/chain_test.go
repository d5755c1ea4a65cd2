package attest_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"mintmark/attest"
	"mintmark/internal/fault"
)

// headerAttestor proves what the header of its name says: a stand-in for real
// evidence, so that these tests are of the Chain alone.
type headerAttestor struct {
	issuer string // "": the trust domain
	header string
	expiry time.Duration
	asked  *atomic.Int64
}

func newHeader(header string) headerAttestor {
	return headerAttestor{header: header, expiry: time.Hour, asked: new(atomic.Int64)}
}

func (a headerAttestor) Accepts() string { return "header " + a.header }

func (a headerAttestor) Digest(e attest.Evidence) ([sha256.Size]byte, bool) {
	v := e.Header.Get(a.header)
	return sha256.Sum256([]byte(v)), v != ""
}

func (a headerAttestor) Attest(_ context.Context, e attest.Evidence) (attest.Identity, error) {
	digest, ok := a.Digest(e)
	if !ok {
		return attest.Identity{}, fmt.Errorf("%s: %w", a.header, attest.ErrNoEvidence)
	}
	a.asked.Add(1)
	id, err := spiffeid.FromString(e.Header.Get(a.header))
	if err != nil {
		return attest.Identity{}, fmt.Errorf("%s: expected a SPIFFE ID, got another", a.header)
	}
	return attest.Proven(attest.Proof{
		ID: id, Issuer: a.issuer, Attestor: a.header, Evidence: hex.EncodeToString(digest[:]), Expires: time.Now().Add(a.expiry),
	}), nil
}

// undigested hides a's Digest.
type undigested struct{ a headerAttestor }

func (u undigested) Attest(ctx context.Context, e attest.Evidence) (attest.Identity, error) {
	return u.a.Attest(ctx, e)
}

// broken fails in a way that is not the caller's fault.
type broken struct{}

func (broken) Attest(context.Context, attest.Evidence) (attest.Identity, error) {
	return attest.Identity{}, fault.New("attest", fault.Unavailable, "the token reviewer does not answer")
}

// silent returns neither an identity nor an error.
type silent struct{}

func (silent) Attest(context.Context, attest.Evidence) (attest.Identity, error) {
	return attest.Identity{}, nil
}

const (
	one = "spiffe://example.org/one"
	two = "spiffe://example.org/two"
)

func newChain(t testing.TB, o attest.ChainOptions, attestors ...attest.Attestor) *attest.Chain {
	t.Helper()
	c, err := attest.NewChain(attestors, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func evidence(pairs ...string) attest.Evidence {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return attest.Evidence{Header: h}
}

func TestChain(t *testing.T) {
	a, b, foreign := newHeader("A"), newHeader("B"), newHeader("F")
	foreign.issuer = "https://issuer.example"
	for name, tt := range map[string]struct {
		attestors []attest.Attestor
		evidence  attest.Evidence
		want      string // subject, or
		by        string
		hint      string // part of the refusal's hint
		kind      fault.Kind
	}{
		"first":              {attestors: []attest.Attestor{a, b}, evidence: evidence("A", one), want: one, by: "A"},
		"second":             {attestors: []attest.Attestor{a, b}, evidence: evidence("B", one), want: one, by: "B"},
		"both agree":         {attestors: []attest.Attestor{a, b}, evidence: evidence("A", one, "B", one), want: one, by: "A"},
		"both disagree":      {attestors: []attest.Attestor{a, b}, evidence: evidence("A", one, "B", two), hint: "expected evidence of one workload, got " + one + " by A and " + two + " by B", kind: fault.Unauthenticated},
		"two issuers":        {attestors: []attest.Attestor{a, undigested{foreign}}, evidence: evidence("A", one, "F", one), hint: "got " + one + " of spiffe://example.org by A and " + one + " of https://issuer.example by F", kind: fault.Unauthenticated},
		"second is bad":      {attestors: []attest.Attestor{a, b}, evidence: evidence("A", one, "B", "x"), want: one, by: "A"},
		"first is bad":       {attestors: []attest.Attestor{a, b}, evidence: evidence("A", "x", "B", one), want: one, by: "B"},
		"both are bad":       {attestors: []attest.Attestor{a, b}, evidence: evidence("A", "x", "B", "x"), hint: "A: expected a SPIFFE ID, got another", kind: fault.Unauthenticated},
		"none":               {attestors: []attest.Attestor{a, b}, evidence: evidence(), hint: "expected header A, or header B, got no evidence", kind: fault.Unauthenticated},
		"none, no words":     {attestors: []attest.Attestor{undigested{a}}, evidence: evidence(), hint: "expected evidence of the calling workload, got no evidence", kind: fault.Unauthenticated},
		"another scheme":     {attestors: []attest.Attestor{a, b}, evidence: evidence("Authorization", "basic c2hvcDpzZWNyZXQ="), hint: "expected header A, or header B, got no evidence but an Authorization header of scheme Basic", kind: fault.Unauthenticated},
		"an unknown scheme":  {attestors: []attest.Attestor{a, b}, evidence: evidence("Authorization", "hunter2 hunter3"), hint: "got no evidence but an Authorization header of a scheme that is not known here", kind: fault.Unauthenticated},
		"a key, no scheme":   {attestors: []attest.Attestor{a, b}, evidence: evidence("Authorization", "hunter2"), hint: "got no evidence but an Authorization header without a scheme and a value", kind: fault.Unauthenticated},
		"a scheme's name":    {attestors: []attest.Attestor{a, b}, evidence: evidence("Authorization", "Basic"), hint: "got no evidence but an Authorization header without a scheme and a value", kind: fault.Unauthenticated},
		"an empty header":    {attestors: []attest.Attestor{a, b}, evidence: evidence("Authorization", ""), hint: "got no evidence but an Authorization header without a scheme and a value", kind: fault.Unauthenticated},
		"zero evidence":      {attestors: []attest.Attestor{a}, hint: "got no evidence", kind: fault.Unauthenticated},
		"two authorizations": {attestors: []attest.Attestor{a}, evidence: evidence("A", one, "Authorization", "x", "Authorization", "y"), hint: "authorization: expected one header, got 2", kind: fault.Unauthenticated},
		"unavailable":        {attestors: []attest.Attestor{broken{}, a}, evidence: evidence(), hint: "does not answer", kind: fault.Unavailable},
		"no identity":        {attestors: []attest.Attestor{silent{}, a}, evidence: evidence(), hint: "has expired", kind: fault.Unauthenticated},
	} {
		t.Run(name, func(t *testing.T) {
			id, err := newChain(t, attest.ChainOptions{}, tt.attestors...).Attest(t.Context(), tt.evidence)
			if tt.want != "" {
				if err != nil || id.Subject() != tt.want || id.Attestor() != tt.by {
					t.Errorf("got %q by %q, %v, want %q by %q", id.Subject(), id.Attestor(), err, tt.want, tt.by)
				}
				return
			}
			refused(t, id, err, tt.kind, tt.hint)
			if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "c2hv") {
				t.Errorf("got %q, want nothing of what the caller sent", err)
			}
		})
	}
}

func refused(t *testing.T, id attest.Identity, err error, kind fault.Kind, hint string) {
	t.Helper()
	if err == nil || !id.IsZero() || fault.KindOf(err) != kind || !strings.Contains(fault.HintOf(err), hint) {
		t.Errorf("got %q, %v (%s, hint %q), want %s with %q and no identity", id.Subject(), err, fault.KindOf(err), fault.HintOf(err), kind, hint)
	}
}

func TestAnIdentityHasAnIssuer(t *testing.T) {
	id := spiffeid.RequireFromString(one)
	if got := (attest.Identity{}).Issuer(); got != "" {
		t.Errorf("nobody: got %q, want none", got)
	}
	if got := attest.Proven(attest.Proof{ID: id}).Issuer(); got != "spiffe://example.org" {
		t.Errorf("without one: got %q, want the trust domain", got)
	}
	if got := attest.Proven(attest.Proof{ID: id, Issuer: "https://issuer.example"}).Issuer(); got != "https://issuer.example" {
		t.Errorf("with one: got %q", got)
	}
}

func TestNewChainDemandsAttestors(t *testing.T) {
	if c, err := attest.NewChain(nil, attest.ChainOptions{}); err == nil || c != nil {
		t.Errorf("got %v, %v, want an error", c, err)
	}
}

// inBubble runs f where time is the test's own, with a chain of two header
// attestors and a count of what is verified.
func inBubble(t *testing.T, generation func() uint64, f func(t *testing.T, c *attest.Chain, a headerAttestor)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a := newHeader("A")
		c, err := attest.NewChain([]attest.Attestor{newHeader("B"), a}, attest.ChainOptions{Generation: generation})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close() // within the bubble, whose goroutines must end
		f(t, c, a)
	})
}

// prove attests and lets the cache take in what it is given.
func prove(t *testing.T, c *attest.Chain, e attest.Evidence) error {
	t.Helper()
	_, err := c.Attest(t.Context(), e)
	synctest.Wait()
	return err
}

func TestProvenEvidenceIsVerifiedOnce(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, c *attest.Chain, a headerAttestor) {
		for range 3 {
			if err := prove(t, c, evidence("A", one)); err != nil {
				t.Fatal(err)
			}
		}
		if got := a.asked.Load(); got != 1 {
			t.Errorf("same evidence: verified %d times, want once", got)
		}
		if err := prove(t, c, evidence("A", two)); err != nil || a.asked.Load() != 2 {
			t.Errorf("other evidence: got %v, verified %d times, want 2", err, a.asked.Load())
		}
	})
}

// A stranger who shows the same evidence again and again costs one verification
// a second, and evidence that becomes good is not refused for long.
func TestRefusalsAreKeptForAMoment(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, c *attest.Chain, a headerAttestor) {
		for i, want := range []int64{1, 1, 2, 2} {
			if i == 2 {
				<-time.After(time.Second) // on the bubble's clock
			}
			if err := prove(t, c, evidence("A", "x")); err == nil {
				t.Fatal("got no error")
			}
			if got := int64(a.asked.Load()); got != want {
				t.Errorf("call %d: verified %d times by then, want %d", i, got, want)
			}
		}
	})
}

// Verifying takes a processor: no more pieces of evidence are under way than
// there are of those, one that was refused meanwhile is not verified again, and a
// call that ends stops waiting.
func TestVerificationsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		most, free := runtime.GOMAXPROCS(0), make(chan struct{})
		var under, asked atomic.Int64
		a := newHeader("A")
		slow := digested{attestFunc(func(context.Context, attest.Evidence) (attest.Identity, error) {
			asked.Add(1)
			under.Add(1)
			defer under.Add(-1)
			<-free
			return attest.Identity{}, errors.New("expected something else")
		}), a}
		c, err := attest.NewChain([]attest.Attestor{slow}, attest.ChainOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		ctx, cancel := context.WithCancel(t.Context())
		var calls sync.WaitGroup
		for range 10 * most {
			calls.Go(func() {
				id, err := c.Attest(t.Context(), evidence("A", one))
				refused(t, id, err, fault.Unauthenticated, "expected something else")
			})
		}
		synctest.Wait()
		calls.Go(func() {
			id, err := c.Attest(ctx, evidence("A", two))
			refused(t, id, err, fault.Unavailable, "the call ended")
		})
		synctest.Wait()
		cancel()
		synctest.Wait()
		if got := under.Load(); got != int64(most) {
			t.Errorf("got %d at a time, want %d", got, most)
		}
		close(free)
		calls.Wait()
		if got := asked.Load(); got != int64(most) {
			t.Errorf("got %d in all, want %d", got, most)
		}
	})
}

// What an attestor could not find out is asked again at once, and new trust
// bundles make refused evidence worth another look.
func TestOnlyVerdictsAreKept(t *testing.T) {
	var generation atomic.Uint64
	inBubble(t, generation.Load, func(t *testing.T, c *attest.Chain, a headerAttestor) {
		for want := range int64(3) {
			if err := prove(t, c, evidence("A", "x")); err == nil || a.asked.Load() != want+1 {
				t.Errorf("generation %d: got %v, verified %d times, want %d", want, err, a.asked.Load(), want+1)
			}
			generation.Add(1)
		}
		asked := 0
		down := digested{attestFunc(func(context.Context, attest.Evidence) (attest.Identity, error) {
			asked++
			return attest.Identity{}, fault.New("attest", fault.Unavailable, "the token reviewer does not answer")
		}), a}
		d, err := attest.NewChain([]attest.Attestor{down}, attest.ChainOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		for range 2 {
			id, err := d.Attest(t.Context(), evidence("A", one))
			refused(t, id, err, fault.Unavailable, "does not answer")
		}
		if asked != 2 {
			t.Errorf("an attestor that is down: asked %d times, want 2", asked)
		}
	})
}

func TestCacheEndsWithTheEvidence(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, c *attest.Chain, a headerAttestor) {
		short := newHeader("S")
		short.expiry = time.Minute
		s, err := attest.NewChain([]attest.Attestor{short}, attest.ChainOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		id, err := s.Attest(t.Context(), evidence("S", one))
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute - 1) // on the bubble's clock
		if err := prove(t, s, evidence("S", one)); err != nil || short.asked.Load() != 1 {
			t.Errorf("just before its expiry: got %v, verified %d times, want once", err, short.asked.Load())
		}
		<-time.After(1)
		if err := prove(t, s, evidence("S", one)); err != nil || short.asked.Load() != 2 {
			t.Errorf("at its expiry: got %v, verified %d times, want again", err, short.asked.Load())
		}
		refused(t, attest.Identity{}, s.Check(id), fault.Unauthenticated, "expired 0s ago")
	})
}

func TestCacheEndsAtItsMaximumAge(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, c *attest.Chain, a headerAttestor) {
		for _, step := range []struct {
			wait time.Duration
			want int64
		}{{0, 1}, {5*time.Minute - 1, 1}, {1, 2}} {
			<-time.After(step.wait)
			if err := prove(t, c, evidence("A", one)); err != nil || a.asked.Load() != step.want {
				t.Errorf("after %s more: got %v, verified %d times, want %d", step.wait, err, a.asked.Load(), step.want)
			}
		}
	})
}

func TestNewTrustBundlesEmptyTheCache(t *testing.T) {
	var generation atomic.Uint64
	inBubble(t, generation.Load, func(t *testing.T, c *attest.Chain, a headerAttestor) {
		for want := range int64(3) {
			if err := prove(t, c, evidence("A", one)); err != nil || a.asked.Load() != want+1 {
				t.Errorf("generation %d: got %v, verified %d times, want %d", want, err, a.asked.Load(), want+1)
			}
			generation.Add(1)
		}
	})
}

func TestBundlesThatChangeDuringVerificationAreNotTrusted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var generation atomic.Uint64
		a := newHeader("A")
		during := attestFunc(func(ctx context.Context, e attest.Evidence) (attest.Identity, error) {
			defer generation.Add(1)
			return a.Attest(ctx, e)
		})
		c, err := attest.NewChain([]attest.Attestor{digested{during, a}}, attest.ChainOptions{Generation: generation.Load})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for range 2 {
			if err := prove(t, c, evidence("A", one)); err != nil {
				t.Fatal(err)
			}
		}
		if got := a.asked.Load(); got != 2 {
			t.Errorf("verified %d times, want 2: the first was under bundles that are gone", got)
		}
	})
}

type attestFunc func(context.Context, attest.Evidence) (attest.Identity, error)

func (f attestFunc) Attest(ctx context.Context, e attest.Evidence) (attest.Identity, error) {
	return f(ctx, e)
}

type digested struct {
	attest.Attestor
	attest.Digester
}

func TestOnePieceOfEvidenceIsJudgedByItsFirstAttestor(t *testing.T) {
	a, asked := newHeader("A"), false
	second := digested{attestFunc(func(context.Context, attest.Evidence) (attest.Identity, error) {
		asked = true
		return attest.Identity{}, errors.New("expected another audience")
	}), a}
	id, err := newChain(t, attest.ChainOptions{}, a, second).Attest(t.Context(), evidence("A", one))
	if err != nil || id.Subject() != one || asked {
		t.Errorf("got %q, %v, second attestor asked %v, want %q by the first alone", id.Subject(), err, asked, one)
	}
}

func TestCheckRefusesNobody(t *testing.T) {
	c := newChain(t, attest.ChainOptions{}, newHeader("A"))
	refused(t, attest.Identity{}, c.Check(attest.Identity{}), fault.Unauthenticated, "got none")
}

func TestChainUnderLoad(t *testing.T) {
	var generation atomic.Uint64
	c := newChain(t, attest.ChainOptions{Generation: generation.Load}, newHeader("B"), newHeader("A"))
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			for i := range 200 {
				want := fmt.Sprintf("spiffe://example.org/%d", i%7)
				id, err := c.Attest(t.Context(), evidence("A", want))
				if err != nil || id.Subject() != want {
					t.Errorf("got %q, %v, want %q", id.Subject(), err, want)
				}
				if worker == 0 {
					generation.Add(1)
				}
			}
		})
	}
	group.Wait()
}
