package trustdomain

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"
)

// WorkloadAPI is a SPIFFE Workload API endpoint that gives every caller one
// identity: it attests nobody, so its socket is only for its own user.
type WorkloadAPI struct {
	socket string
	server *grpc.Server
	served chan struct{} // closed when Serve has returned
	err    error         // Serve's, readable once served is closed
	close  sync.Once
}

// ServeWorkloadAPI listens on the Unix socket at socketPath (mode 0600, best in
// a directory of mode 0700) and serves the Workload API for the workload id
// until ctx ends or Close. The socket accepts connections when it returns.
func (d *Domain) ServeWorkloadAPI(ctx context.Context, socketPath string, id spiffeid.ID) (*WorkloadAPI, error) {
	listener, err := listen(ctx, socketPath)
	if err != nil {
		return nil, err
	}
	w := &WorkloadAPI{
		socket: socketPath,
		server: grpc.NewServer(grpc.UnaryInterceptor(requireHeader), grpc.StreamInterceptor(requireStreamHeader)),
		served: make(chan struct{}),
	}
	workload.RegisterSpiffeWorkloadAPIServer(w.server, &service{domain: d, id: id})
	context.AfterFunc(ctx, w.stop)
	go func() {
		defer close(w.served)
		// ErrServerStopped only says that Close came first.
		if err := w.server.Serve(listener); !errors.Is(err, grpc.ErrServerStopped) {
			w.err = err
		}
	}()
	return w, nil
}

// listen makes the socket, in place of one that a crash left behind.
func listen(ctx context.Context, path string) (net.Listener, error) {
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() == fs.ModeSocket {
		_ = os.Remove(path) // Listen says it better when this fails
	}
	l, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("serve the Workload API: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, fmt.Errorf("serve the Workload API: %w", errors.Join(err, l.Close()))
	}
	return l, nil
}

// Addr returns the endpoint's address as SPIFFE_ENDPOINT_SOCKET has it.
func (w *WorkloadAPI) Addr() string {
	path, err := filepath.Abs(w.socket)
	if err != nil {
		path = w.socket
	}
	return "unix://" + path
}

// Close stops the endpoint, cuts its streams and removes the socket.
func (w *WorkloadAPI) Close() error {
	w.stop()
	<-w.served
	return w.err
}

func (w *WorkloadAPI) stop() {
	w.close.Do(func() {
		w.server.Stop() // closes the listener, which removes the socket
	})
}

const securityHeader = "workload.spiffe.io"

// checkHeader refuses a caller that does not send the header the SPIFFE
// Workload Endpoint demands: it may be a browser tricked into calling.
func checkHeader(ctx context.Context) error {
	md, _ := metadata.FromIncomingContext(ctx)
	if v := md.Get(securityHeader); len(v) != 1 || v[0] != "true" {
		return status.Errorf(codes.InvalidArgument, `security header missing: want "%s: true"`, securityHeader)
	}
	return nil
}

func requireHeader(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if err := checkHeader(ctx); err != nil {
		return nil, err
	}
	return next(ctx, req)
}

func requireStreamHeader(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if err := checkHeader(s.Context()); err != nil {
		return err
	}
	return next(srv, s)
}

// service implements the Workload API; WIT-SVIDs stay unimplemented.
type service struct {
	workload.UnimplementedSpiffeWorkloadAPIServer
	domain *Domain
	id     spiffeid.ID
}

// FetchX509SVID streams the workload's SVID, a new one at half its life, and
// the bundles whenever they change.
func (s *service) FetchX509SVID(_ *workload.X509SVIDRequest, stream grpc.ServerStreamingServer[workload.X509SVIDResponse]) error {
	return s.follow(stream.Context(), s.domain.options.X509Lifetime/2, func(bundles []*spiffebundle.Bundle) error {
		response, err := s.x509Response(bundles)
		if err != nil {
			return status.Error(codes.Internal, err.Error())
		}
		return stream.Send(response)
	})
}

func (s *service) x509Response(bundles []*spiffebundle.Bundle) (*workload.X509SVIDResponse, error) {
	svid, err := s.domain.X509SVID(s.id, X509Request{})
	if err != nil {
		return nil, err
	}
	key, err := x509.MarshalPKCS8PrivateKey(svid.PrivateKey)
	if err != nil {
		return nil, err
	}
	response := &workload.X509SVIDResponse{
		Svids: []*workload.X509SVID{{
			SpiffeId:    s.id.String(),
			X509Svid:    rawChain(svid.Certificates),
			X509SvidKey: key,
			Bundle:      rawChain(bundles[0].X509Authorities()),
		}},
		FederatedBundles: map[string][]byte{},
	}
	for _, b := range bundles[1:] {
		response.FederatedBundles[b.TrustDomain().IDString()] = rawChain(b.X509Authorities())
	}
	return response, nil
}

// FetchX509Bundles streams the X.509 bundles whenever they change.
func (s *service) FetchX509Bundles(_ *workload.X509BundlesRequest, stream grpc.ServerStreamingServer[workload.X509BundlesResponse]) error {
	return s.follow(stream.Context(), 0, func(bundles []*spiffebundle.Bundle) error {
		response := &workload.X509BundlesResponse{Bundles: map[string][]byte{}}
		for _, b := range bundles {
			response.Bundles[b.TrustDomain().IDString()] = rawChain(b.X509Authorities())
		}
		return stream.Send(response)
	})
}

// FetchJWTSVID issues a JWT-SVID for the wanted audience.
func (s *service) FetchJWTSVID(_ context.Context, r *workload.JWTSVIDRequest) (*workload.JWTSVIDResponse, error) {
	if len(r.Audience) == 0 {
		return nil, status.Error(codes.InvalidArgument, "audience must be specified")
	}
	if r.SpiffeId != "" && r.SpiffeId != s.id.String() {
		return nil, status.Errorf(codes.PermissionDenied, "no identity issued: got %q, want %q", r.SpiffeId, s.id)
	}
	token, err := s.domain.JWTSVID(s.id, JWTRequest{Audience: r.Audience})
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return &workload.JWTSVIDResponse{Svids: []*workload.JWTSVID{{SpiffeId: s.id.String(), Svid: token}}}, nil
}

// FetchJWTBundles streams the JWT bundles whenever they change.
func (s *service) FetchJWTBundles(_ *workload.JWTBundlesRequest, stream grpc.ServerStreamingServer[workload.JWTBundlesResponse]) error {
	return s.follow(stream.Context(), 0, func(bundles []*spiffebundle.Bundle) error {
		response := &workload.JWTBundlesResponse{Bundles: map[string][]byte{}}
		for _, b := range bundles {
			set, err := b.JWTBundle().Marshal()
			if err != nil {
				return status.Error(codes.Internal, err.Error())
			}
			response.Bundles[b.TrustDomain().IDString()] = set
		}
		return stream.Send(response)
	})
}

// ValidateJWTSVID verifies a JWT-SVID of this or a federated trust domain.
func (s *service) ValidateJWTSVID(_ context.Context, r *workload.ValidateJWTSVIDRequest) (*workload.ValidateJWTSVIDResponse, error) {
	if r.Audience == "" || r.Svid == "" {
		return nil, status.Error(codes.InvalidArgument, "audience and svid must be specified")
	}
	bundles, _ := s.domain.bundles()
	svid, err := jwtsvid.ParseAndValidate(r.Svid, spiffebundle.NewSet(bundles...), []string{r.Audience})
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	claims, err := structpb.NewStruct(svid.Claims)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	return &workload.ValidateJWTSVIDResponse{SpiffeId: svid.ID.String(), Claims: claims}, nil
}

// follow calls send now, at each change of the bundles, and every refresh when
// that is not zero, until ctx ends or send fails.
func (s *service) follow(ctx context.Context, refresh time.Duration, send func([]*spiffebundle.Bundle) error) error {
	for {
		bundles, changed := s.domain.bundles()
		if err := send(bundles); err != nil {
			return err
		}
		if err := wait(ctx, changed, refresh); err != nil {
			return err
		}
	}
}

// wait returns when changed closes or refresh has passed, or ctx's error.
func wait(ctx context.Context, changed <-chan struct{}, refresh time.Duration) error {
	var due <-chan time.Time // a nil channel never fires
	if refresh > 0 {
		timer := time.NewTimer(refresh)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-changed:
	case <-due:
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
	return nil
}

func rawChain(certs []*x509.Certificate) []byte {
	var raw []byte
	for _, c := range certs {
		raw = append(raw, c.Raw...)
	}
	return raw
}
