package trustdomain_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"mintmark/internal/trustdomain"
)

func TestWorkloadAPISpeaksToTheStandardClient(t *testing.T) {
	domain := newDomain()
	client := dial(t, serve(t, domain))
	ctx := bounded(t)

	x509Context, err := client.FetchX509Context(ctx)
	if err != nil {
		t.Fatal(err)
	}
	svid := x509Context.DefaultSVID()
	if id, _, err := x509svid.Verify(svid.Certificates, x509Context.Bundles); err != nil || id != domain.ID("broker") {
		t.Errorf("X.509-SVID: got %v, %v", id, err)
	}
	bundles, err := client.FetchX509Bundles(ctx)
	if err != nil || !bundles.Has(domain.TrustDomain()) {
		t.Errorf("X.509 bundles: got %v, %v", bundles, err)
	}
	checkJWT(ctx, t, domain, client)
}

func checkJWT(ctx context.Context, t *testing.T, domain *trustdomain.Domain, client *workloadapi.Client) {
	t.Helper()
	token, err := client.FetchJWTSVID(ctx, jwtsvid.Params{Audience: "vault"})
	if err != nil {
		t.Fatal(err)
	}
	bundles, err := client.FetchJWTBundles(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if svid, err := jwtsvid.ParseAndValidate(token.Marshal(), bundles, []string{"vault"}); err != nil || svid.ID != domain.ID("broker") {
		t.Errorf("JWT-SVID: got %v, %v", svid, err)
	}
	if svid, err := client.ValidateJWTSVID(ctx, token.Marshal(), "vault"); err != nil || svid.ID != domain.ID("broker") {
		t.Errorf("ValidateJWTSVID: got %v, %v", svid, err)
	}
	if _, err := client.ValidateJWTSVID(ctx, token.Marshal(), "other"); status.Code(err) != codes.InvalidArgument {
		t.Errorf("ValidateJWTSVID for another audience: got %v, want InvalidArgument", err)
	}
	other := jwtsvid.Params{Audience: "vault", Subject: domain.ID("somebody")}
	if _, err := client.FetchJWTSVID(ctx, other); status.Code(err) != codes.PermissionDenied {
		t.Errorf("FetchJWTSVID for another workload: got %v, want PermissionDenied", err)
	}
}

func TestWorkloadAPIDemandsItsHeader(t *testing.T) {
	api := serve(t, newDomain())
	conn, err := grpc.NewClient(api.Addr(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	raw := workload.NewSpiffeWorkloadAPIClient(conn)
	_, err = raw.FetchJWTSVID(bounded(t), &workload.JWTSVIDRequest{Audience: []string{"vault"}})
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("unary call without the header: got %v, want InvalidArgument", err)
	}
	stream, err := raw.FetchX509SVID(bounded(t), &workload.X509SVIDRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.InvalidArgument {
		t.Errorf("stream without the header: got %v, want InvalidArgument", err)
	}
}

// updates is a go-spiffe watcher that passes on how many authorities each
// update holds.
type updates chan int

func (u updates) OnX509ContextUpdate(c *workloadapi.X509Context) {
	n := 0
	for _, b := range c.Bundles.Bundles() {
		n += len(b.X509Authorities())
	}
	u <- n
}

func (updates) OnX509ContextWatchError(error) {}

func TestRotationAndFederationReachOpenStreams(t *testing.T) {
	domain := newDomain()
	client := dial(t, serve(t, domain))
	ctx, cancel := context.WithCancel(bounded(t))
	seen, done := make(updates, 8), make(chan error, 1)
	go func() { done <- client.WatchX509Context(ctx, seen) }()
	expect(t, seen, 1)
	domain.Rotate(trustdomain.KeepOld)
	expect(t, seen, 2)
	domain.Federate(trustdomain.New("partner.example", trustdomain.Options{}))
	expect(t, seen, 3)
	cancel()
	if err := <-done; err == nil {
		t.Error("watch ended without its context's error")
	}
}

func expect(t *testing.T, seen updates, want int) {
	t.Helper()
	select {
	case got := <-seen:
		if got != want {
			t.Fatalf("authorities in the update: got %d, want %d", got, want)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("no update with %d authorities within 10s", want)
	}
}

func TestSocketIsPrivateReplacedAndRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "api.sock")
	domain := newDomain()
	leaveStaleSocket(t, path)
	for range 2 {
		api, err := domain.ServeWorkloadAPI(t.Context(), path, domain.ID("broker"))
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("socket: got %v, %v, want mode 0600", info, err)
		}
		if err := api.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("socket after Close: got %v, want it gone", err)
		}
	}
}

// leaveStaleSocket leaves what a crash leaves: a socket nobody listens on.
func leaveStaleSocket(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func serve(t *testing.T, domain *trustdomain.Domain) *trustdomain.WorkloadAPI {
	t.Helper()
	api, err := domain.ServeWorkloadAPI(t.Context(), filepath.Join(t.TempDir(), "api.sock"), domain.ID("broker"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := api.Close(); err != nil {
			t.Error(err)
		}
	})
	return api
}

func dial(t *testing.T, api *trustdomain.WorkloadAPI) *workloadapi.Client {
	t.Helper()
	client, err := workloadapi.New(t.Context(), workloadapi.WithAddr(api.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// bounded returns a context that ends well before the test binary does.
func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}
