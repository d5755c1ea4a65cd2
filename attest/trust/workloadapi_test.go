package trust_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"mintmark/attest/trust"
	"mintmark/broker/bundle"
	"mintmark/internal/trustdomain"
)

func TestLostWorkloadAPIKeepsItsLastBundles(t *testing.T) {
	domain := trustdomain.New("example.org", trustdomain.Options{})
	path := filepath.Join(t.TempDir(), "api.sock")
	api, log := serveAt(t, domain, path), new(journal)
	tr := open(t, bundle.Trust{WorkloadAPI: api.Addr()}, domain.TrustDomain(), options(log))
	if err := api.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the outage in the log", func() bool { return log.count("does not answer") == 2 }) // one for each stream
	if !believes(t, tr, domain) {
		t.Error("the last bundles are gone")
	}
	domain.Rotate(trustdomain.DropOld)
	if believes(t, tr, domain) {
		t.Error("believes keys it cannot know")
	}
	serveAt(t, domain, path)
	eventually(t, "the new keys", func() bool { return believes(t, tr, domain) })
	eventually(t, "the recovery in the log", func() bool { return log.count("answers again") == 2 })
	if got := log.count("does not answer"); got != 2 {
		t.Errorf("outage logged %d times, want once for each stream", got)
	}
}

func TestWorkloadAPIThatDoesNotAnswer(t *testing.T) {
	td := spiffeid.RequireTrustDomainFromString("example.org")
	// Where there is an answer to wait for, it must come in time on a slow machine too.
	const patient = 4 * time.Second
	for name, tt := range map[string]struct {
		listen func(t *testing.T, path string)
		wait   time.Duration
		want   string
	}{
		"no socket": {func(*testing.T, string) {}, patient, "no such file or directory\"; is the agent running?"},
		"silent":    {listenSilently, 400 * time.Millisecond, "no answer yet"},
		"unregistered": {func(t *testing.T, path string) { refuseEverybody(t, path) }, patient,
			"no identity issued; is this process registered as a workload?"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, log := filepath.Join(t.TempDir(), "api.sock"), new(journal)
			tt.listen(t, path)
			o := options(log)
			o.Wait = tt.wait
			tr, err := trust.Open(t.Context(), bundle.Trust{WorkloadAPI: "unix://" + path}, td, o)
			want := "expected a SPIFFE Workload API at unix://" + path + " within " + tt.wait.String() + ", got: "
			if err == nil || tr != nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q and %q", err, want, tt.want)
			}
			if log.count("waiting for the Workload API") == 0 {
				t.Error("the wait is not in the log")
			}
		})
	}
}

// Another trust domain than the one registered is not waited for.
func TestWorkloadAPIOfAnotherTrustDomain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "api.sock")
	serveAt(t, trustdomain.New("other.example", trustdomain.Options{}), path)
	o := options(new(journal))
	o.Wait = time.Minute
	tr, err := trust.Open(t.Context(), bundle.Trust{WorkloadAPI: "unix://" + path}, spiffeid.RequireTrustDomainFromString("example.org"), o)
	want := "the SPIFFE Workload API at unix://" + path + " answered, got: an SVID for spiffe://other.example/broker, want one in trust domain example.org: compare trust_domain"
	if err == nil || tr != nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want an error with %q", err, want)
	}
}

// Who ends the wait is not told that the time is over, and does not wait for that.
func TestWorkloadAPIWaitIsStopped(t *testing.T) {
	for name, waits := range map[string]bool{"before it begins": false, "while it waits": true} {
		t.Run(name, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			path, log := filepath.Join(t.TempDir(), "api.sock"), new(journal)
			listenSilently(t, path)
			o := options(log)
			o.Wait = time.Hour
			if !waits {
				stop()
			}
			ended := make(chan error, 1)
			go func() {
				_, err := trust.Open(ctx, bundle.Trust{WorkloadAPI: "unix://" + path}, spiffeid.RequireTrustDomainFromString("example.org"), o)
				ended <- err
			}()
			eventually(t, "it says that it waits", func() bool { return !waits || log.count("waiting for the Workload API") > 0 })
			stop()
			select {
			case err := <-ended:
				if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "stopped while waiting for the SPIFFE Workload API") || strings.Contains(err.Error(), "within") {
					t.Errorf("got %v, want that it was stopped", err)
				}
			case <-time.After(time.Minute):
				t.Error("it waits on, want an end at once: the wait is an hour")
			}
		})
	}
}

// An agent that starts after the broker is waited for, and the log says when it is there.
func TestWorkloadAPIThatComesLate(t *testing.T) {
	domain, path, log := trustdomain.New("example.org", trustdomain.Options{}), filepath.Join(t.TempDir(), "api.sock"), new(journal)
	o := options(log)
	o.Wait = time.Minute
	opened := make(chan error, 1)
	go func() {
		tr, err := trust.Open(t.Context(), bundle.Trust{WorkloadAPI: "unix://" + path}, domain.TrustDomain(), o)
		if err == nil {
			err = tr.Close()
		}
		opened <- err
	}()
	eventually(t, "the wait in the log", func() bool { return log.count("waiting for the Workload API") > 0 })
	if log.count("failures=") == 0 {
		t.Error("the log does not say how often it was tried")
	}
	serveAt(t, domain, path)
	if err := <-opened; err != nil {
		t.Fatal(err)
	}
	if got := log.count("the Workload API answers"); got != 1 {
		t.Errorf("the end of the wait logged %d times, want once", got)
	}
}

// listenSilently accepts connections and says nothing.
func listenSilently(t *testing.T, path string) {
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
}

// refuseEverybody is an agent that knows no workload.
func refuseEverybody(t *testing.T, path string) {
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	workload.RegisterSpiffeWorkloadAPIServer(server, strict{})
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Error(err)
		}
	})
}

type strict struct {
	workload.UnimplementedSpiffeWorkloadAPIServer
}

func (strict) FetchX509SVID(*workload.X509SVIDRequest, grpc.ServerStreamingServer[workload.X509SVIDResponse]) error {
	return status.Error(codes.PermissionDenied, "no identity issued")
}

func (strict) FetchJWTBundles(*workload.JWTBundlesRequest, grpc.ServerStreamingServer[workload.JWTBundlesResponse]) error {
	return status.Error(codes.PermissionDenied, "no identity issued")
}
