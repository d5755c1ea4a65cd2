package connect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"mintmark/attest/trust"
	"mintmark/broker/bundle"
)

// identity is who this process is by its Workload API, and whom it believes. It
// is opened when it is first wanted, so that a client hears what is wrong with
// it in the answer to its first request. It is safe for concurrent use.
type identity struct {
	address string
	logger  *slog.Logger
	wait    time.Duration // bounds one try

	turn  chan struct{} // whoever fills it may touch the rest
	trust *trust.Trust
}

func newIdentity(o Options) *identity {
	return &identity{address: o.WorkloadAPI, logger: o.Logger, wait: cmp.Or(o.Wait, 10*time.Second), turn: make(chan struct{}, 1)}
}

// get returns what the Workload API says, now and from now on, or a *refusal.
func (i *identity) get(ctx context.Context) (*trust.Trust, error) {
	select {
	case i.turn <- struct{}{}:
		defer func() { <-i.turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if i.trust != nil {
		return i.trust, nil
	}
	t, err := i.open(ctx)
	if err != nil && errors.Is(err, context.Cause(ctx)) {
		return nil, err
	}
	if err != nil {
		i.logger.ErrorContext(ctx, "no identity", slog.Any("error", err))
		return nil, refusef(http.StatusServiceUnavailable, "this program has no identity to show to the broker: %v", err)
	}
	i.trust = t
	return t, nil
}

func (i *identity) close() error {
	i.turn <- struct{}{}
	defer func() { <-i.turn }()
	if i.trust == nil {
		return nil
	}
	return i.trust.Close()
}

func (i *identity) open(ctx context.Context) (*trust.Trust, error) {
	ctx, cancel := context.WithTimeout(ctx, i.wait)
	defer cancel()
	id, err := i.first(ctx)
	if err != nil {
		return nil, err
	}
	t, err := trust.Open(ctx, bundle.Trust{WorkloadAPI: i.address}, id.TrustDomain(), trust.Options{Logger: i.logger, Wait: i.wait})
	if err != nil {
		return nil, err
	}
	i.logger.InfoContext(ctx, "identified", slog.String("id", id.String()))
	return t, nil
}

// first returns the first SPIFFE ID that the Workload API gives, asking until
// ctx ends: agents learn of a registration only after some seconds.
func (i *identity) first(ctx context.Context) (spiffeid.ID, error) {
	const again = 250 * time.Millisecond
	for why := ""; ; {
		id, err := i.ask(ctx)
		if err == nil {
			return id, nil
		}
		if status.Code(err) != codes.DeadlineExceeded && ctx.Err() == nil { // an end says less than what came before
			why = whyNone(err)
		}
		if !pause(ctx, again) {
			if why == "" && errors.Is(ctx.Err(), context.Canceled) {
				return id, context.Cause(ctx)
			}
			return id, fmt.Errorf("expected an X.509-SVID of the SPIFFE Workload API at %s, got: %s", i.address, cmp.Or(why, "no answer in time"))
		}
	}
}

func (i *identity) ask(ctx context.Context) (id spiffeid.ID, err error) {
	client, err := workloadapi.New(ctx, workloadapi.WithAddr(i.address))
	if err != nil {
		return id, err
	}
	defer func() { _ = client.Close() }()
	svid, err := client.FetchX509SVID(ctx)
	if err != nil {
		return id, err
	}
	return svid.ID, nil
}

func whyNone(err error) string {
	switch text := status.Convert(err).Message(); status.Code(err) {
	case codes.PermissionDenied:
		return text + "; is this program registered as a workload?"
	case codes.Unavailable:
		return text + "; is the SPIFFE agent running?"
	default:
		return text
	}
}

// pause waits, and reports whether it could to the end.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
