package trust

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/jwtbundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// workloadAPI follows one Workload API endpoint. It implements go-spiffe's
// X509ContextWatcher and JWTBundleWatcher.
type workloadAPI struct {
	address string
	trust   *Trust
	client  *workloadapi.Client
	tokens  tokens
	keys    atomic.Pointer[jwtbundle.Set] // of JWT-SVIDs, as the endpoint says

	mu    sync.Mutex
	x509  stream
	jwt   stream
	ready chan struct{} // closed once both have answered

	alien  chan struct{} // closed once there was an answer with SVIDs of other trust domains alone
	closes sync.Once     // alien
}

// stream is what is known of one of the endpoint's streams.
type stream struct {
	name     string
	answered bool  // once
	failed   error // why it does not answer now, or nil
	outage   outage
}

// openWorkloadAPI follows the endpoint at address while running lasts, and
// waits for its first answer.
func (t *Trust) openWorkloadAPI(ctx, running context.Context, address string) error {
	client, err := workloadapi.New(ctx, workloadapi.WithAddr(address), workloadapi.WithBackoffStrategy(backoffs{}))
	if err != nil {
		return fmt.Errorf("open Workload API %s: %w", address, err)
	}
	w := &workloadAPI{
		address: address,
		trust:   t,
		client:  client,
		x509:    stream{name: "x509"},
		jwt:     stream{name: "jwt"},
		ready:   make(chan struct{}),
		alien:   make(chan struct{}),
	}
	w.tokens = tokens{fetch: w.fetchToken, clock: t.options.Clock, signed: w.signed}
	t.api = w
	t.group.Go(func() {
		w.follow(running, func() error { return client.WatchX509Context(running, w) })
	})
	t.group.Go(func() {
		w.follow(running, func() error { return client.WatchJWTBundles(running, w) })
	})
	return w.wait(ctx)
}

func (w *workloadAPI) close() error {
	if err := w.client.Close(); err != nil {
		return fmt.Errorf("close Workload API %s: %w", w.address, err)
	}
	return nil
}

// follow keeps a watch up: go-spiffe's own retries end for good when the
// endpoint cancels the stream or calls the request invalid.
func (w *workloadAPI) follow(ctx context.Context, watch func() error) {
	retry := backoffs{}.NewBackoff()
	for ctx.Err() == nil {
		_ = watch() // the watcher has been told why
		timer := time.NewTimer(retry.Next())
		select {
		case <-ctx.Done():
			timer.Stop()
		case <-timer.C:
		}
	}
}

// wait returns when both bundles and an SVID have come. While it waits it says
// for what: after a quarter of the bound, or 2.5 s, then ever more rarely, and when
// there is another reason. It does not wait for another trust domain than the one that
// answers. The error wraps that of caller where it is the caller who ended the wait.
func (w *workloadAPI) wait(caller context.Context) error {
	bound := w.trust.options.Wait
	ctx, cancel := context.WithTimeout(caller, bound)
	defer cancel()
	every := min(bound/4, 2500*time.Millisecond)
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	start, waiting, said := time.Now(), outage{first: every}, ""
	for {
		select {
		case <-w.ready:
			if said != "" {
				w.trust.options.Logger.LogAttrs(ctx, slog.LevelInfo, "the Workload API answers", w.named(slog.Duration("waited", time.Since(start)))...)
			}
			return nil
		case <-w.alien:
			return fmt.Errorf("the SPIFFE Workload API at %s answered, got: %w", w.address, w.reason())
		case <-ctx.Done():
			return w.unanswered(caller)
		case now := <-ticker.C:
			reason := w.reason().Error()
			if due := waiting.due(now); !due && reason == said {
				continue
			}
			said = reason
			w.trust.options.Logger.LogAttrs(ctx, slog.LevelInfo, "waiting for the Workload API",
				w.named(slog.String("reason", reason), slog.Int("failures", w.failures()))...)
		}
	}
}

// unanswered is why the wait has ended, or nil where the answer came at the same moment.
func (w *workloadAPI) unanswered(caller context.Context) error {
	select {
	case <-w.ready:
		return nil
	default:
	}
	if err := caller.Err(); err != nil {
		return fmt.Errorf("stopped while waiting for the SPIFFE Workload API at %s, got: %w: %w", w.address, w.reason(), err)
	}
	return fmt.Errorf("expected a SPIFFE Workload API at %s within %s, got: %w", w.address, w.trust.options.Wait, w.reason())
}

// named returns attrs behind the address of the endpoint.
func (w *workloadAPI) named(attrs ...slog.Attr) []slog.Attr {
	return append([]slog.Attr{slog.String("address", w.address)}, attrs...)
}

// failures returns how often the endpoint was asked in vain since it answered last.
func (w *workloadAPI) failures() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.x509.outage.failures + w.jwt.outage.failures
}

// reason says why the endpoint has not answered, and what to look at.
func (w *workloadAPI) reason() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch err := cmp.Or(w.x509.failed, w.jwt.failed); {
	case err == nil:
		return errors.New("no answer yet")
	case status.Code(err) == codes.PermissionDenied:
		return fmt.Errorf("%s; is this process registered as a workload?", status.Convert(err).Message())
	case status.Code(err) == codes.Unavailable:
		return fmt.Errorf("%s; is the agent running?", status.Convert(err).Message())
	default:
		return err
	}
}

// OnX509ContextUpdate takes in the broker's SVIDs and the X.509 bundles. They
// are taken or left together.
func (w *workloadAPI) OnX509ContextUpdate(c *workloadapi.X509Context) {
	svid, err := pick(c.SVIDs, w.trust.td)
	if err != nil {
		w.fail(&w.x509, err)
		if len(c.SVIDs) > 0 {
			w.closes.Do(func() { close(w.alien) })
		}
		return
	}
	w.trust.update(func(s *sources) { s.x509, s.svid = c.Bundles, svid })
	w.answered(&w.x509)
}

// OnX509ContextWatchError notes that the endpoint does not answer.
func (w *workloadAPI) OnX509ContextWatchError(err error) { w.fail(&w.x509, err) }

// OnJWTBundlesUpdate takes in the JWT bundles.
func (w *workloadAPI) OnJWTBundlesUpdate(set *jwtbundle.Set) {
	w.keys.Store(set)
	w.trust.update(func(s *sources) { s.jwt = set })
	w.answered(&w.jwt)
}

// OnJWTBundlesWatchError notes that the endpoint does not answer.
func (w *workloadAPI) OnJWTBundlesWatchError(err error) { w.fail(&w.jwt, err) }

// pick returns the first SVID in the broker's own trust domain.
func pick(svids []*x509svid.SVID, td spiffeid.TrustDomain) (*x509svid.SVID, error) {
	for _, s := range svids {
		if s.ID.MemberOf(td) {
			return s, nil
		}
	}
	if len(svids) == 0 {
		return nil, errors.New("no SVID")
	}
	return nil, fmt.Errorf("an SVID for %s, want one in trust domain %s: compare trust_domain in mintmark.yaml with that of the agent", svids[0].ID, td)
}

// answered notes that s delivers. A watcher is given no context to log with.
func (w *workloadAPI) answered(s *stream) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.answered && s.failed != nil {
		w.trust.options.Logger.LogAttrs(context.Background(), slog.LevelInfo, "the Workload API answers again", w.named(s.attrs()...)...)
	}
	before := w.x509.answered && w.jwt.answered
	s.answered, s.failed, s.outage = true, nil, outage{}
	if !before && w.x509.answered && w.jwt.answered {
		close(w.ready)
	}
}

// fail notes that s broke. An outage is logged at its beginning, and ever more
// rarely while it lasts.
func (w *workloadAPI) fail(s *stream, err error) {
	if err == nil || status.Code(err) == codes.Canceled {
		return // our own end, or the stream's: the next try will tell
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s.failed = err
	s.outage.failures++
	if s.answered && s.outage.due(w.trust.options.Clock()) {
		w.trust.options.Logger.LogAttrs(context.Background(), slog.LevelWarn,
			"the Workload API does not answer: the last bundles stay in force", w.named(s.attrs()...)...)
	}
}

// attrs say which stream it is, why it broke, and how often it was asked in vain.
func (s *stream) attrs() []slog.Attr {
	return []slog.Attr{slog.String("stream", s.name), slog.Any("error", s.failed), slog.Int("failures", s.outage.failures)}
}

func (w *workloadAPI) fetchToken(ctx context.Context, audience string) (token, error) {
	params := jwtsvid.Params{Audience: audience}
	if svid := w.trust.current.Load().svid; svid != nil {
		params.Subject = svid.ID
	}
	svid, err := w.client.FetchJWTSVID(ctx, params)
	if err != nil {
		return token{}, err
	}
	return token{value: svid.Marshal(), expires: svid.Expiry}, nil
}

// signed reports whether the endpoint still names the key that a token is signed by. A
// bundle file says whom the broker believes, and nothing of who believes the broker.
func (w *workloadAPI) signed(value, audience string) bool {
	keys := w.keys.Load()
	if keys == nil {
		return false
	}
	_, err := jwtsvid.ParseAndValidate(value, keys, []string{audience})
	return err == nil
}

// backoffs are quicker than go-spiffe's own, which reach 30s: an agent that
// restarts is on this machine.
type backoffs struct{}

// NewBackoff returns a backoff that doubles from 100ms to 5s.
func (backoffs) NewBackoff() workloadapi.Backoff { return new(doubling) }

type doubling struct{ next time.Duration }

// Next returns how long to wait before the next try.
func (d *doubling) Next() time.Duration {
	const first, longest = 100 * time.Millisecond, 5 * time.Second
	d.next = min(max(2*d.next, first), longest)
	return d.next
}

// Reset begins anew.
func (d *doubling) Reset() { d.next = 0 }
