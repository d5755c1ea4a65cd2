package http1

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Server serves HTTP/1.1 (RFC 9112) to a Handler, one goroutine a connection. What
// servers and proxies are known to read in two ways, it refuses. Connections that
// agree on HTTP/2 within TLS are net/http's to serve. All fields but TLS and Logger
// are required, and none changes once it serves. HeadTime and Idle are of a second or
// more.
//
// Unlike with net/http, the context of a request ends with its connection and not with
// its Handler, which ends what it began; and neither the request's body nor the
// ResponseWriter is used once the Handler has returned.
type Server struct {
	Handler    http.Handler
	TLS        *tls.Config   // nil: plain. Its NextProtos say whether HTTP/2 is served
	HeadTime   time.Duration // for the handshake, for the first byte, and for a head once it has begun
	Idle       time.Duration // between two requests
	MaxHead    int           // bytes
	MaxConns   int           // more wait to be accepted
	Logger     *slog.Logger  // of what no request is behind, at debug
	background sync.WaitGroup

	once    sync.Once
	room    chan struct{} // one for each connection
	stopped chan struct{} // closed by the first Shutdown or Close
	second  *http.Server  // of HTTP/2
	handed  *handover

	mu        sync.Mutex
	listeners map[net.Listener]bool
	conns     map[*peer]struct{}
	serving   sync.WaitGroup // of connections
}

// Serve accepts connections until the listener fails, which it returns, or until
// Shutdown or Close, when it returns http.ErrServerClosed.
func (s *Server) Serve(l net.Listener) error {
	s.open()
	s.mu.Lock()
	if s.ends() {
		s.mu.Unlock()
		return http.ErrServerClosed
	}
	s.listeners[l] = true
	s.mu.Unlock()
	for {
		select {
		case s.room <- struct{}{}:
		case <-s.stopped:
			return http.ErrServerClosed
		}
		nc, err := s.accept(l)
		if err != nil {
			<-s.room
			return err
		}
		p := newPeer(s, &socket{Conn: nc, room: s.room})
		if !s.add(p) {
			_ = p.socket.Close()
			return http.ErrServerClosed
		}
		go p.serve()
	}
}

// socket is an accepted connection, which counts until it is closed.
type socket struct {
	net.Conn
	room chan struct{}
	once sync.Once
}

// Close implements net.Conn.
func (s *socket) Close() error {
	s.once.Do(func() { <-s.room })
	return s.Conn.Close()
}

// CloseWrite tells the client that no more comes. It returns an error where the
// connection has no two directions.
func (s *socket) CloseWrite() error {
	if half, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

func (s *Server) open() {
	s.once.Do(func() {
		s.listeners, s.conns = map[net.Listener]bool{}, map[*peer]struct{}{}
		s.room, s.stopped = make(chan struct{}, s.MaxConns), make(chan struct{})
		if s.TLS == nil || !slices.Contains(s.TLS.NextProtos, "h2") {
			return
		}
		s.handed = &handover{conns: make(chan net.Conn), done: make(chan struct{})}
		s.second = &http.Server{
			Handler: s.Handler, TLSConfig: s.TLS.Clone(), // it is written to
			ReadHeaderTimeout: s.HeadTime, IdleTimeout: s.Idle, MaxHeaderBytes: s.MaxHead,
			DisableGeneralOptionsHandler: true, // a request for * is the Handler's, as any
			ErrorLog:                     slog.NewLogLogger(s.logger().Handler(), slog.LevelDebug),
		}
		s.background.Go(func() { _ = s.second.Serve(s.handed) })
	})
}

func (s *Server) logger() *slog.Logger {
	if s.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.Logger
}

// accept waits a little where the system has no room for another connection.
func (s *Server) accept(l net.Listener) (net.Conn, error) {
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		nc, err := l.Accept()
		if err == nil {
			return nc, nil
		}
		if s.ends() {
			return nil, http.ErrServerClosed
		}
		var ne net.Error
		if !errors.As(err, &ne) || !ne.Temporary() { //nolint:staticcheck // there is no other word for "too many open files"
			return nil, err
		}
		s.logger().DebugContext(context.Background(), "accept", slog.Any("err", err))
		select {
		case <-time.After(pause):
		case <-s.stopped:
		}
	}
}

// ends reports whether Shutdown or Close was called.
func (s *Server) ends() bool {
	select {
	case <-s.stopped:
		return true
	default:
		return false
	}
}

func (s *Server) add(p *peer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ends() {
		return false
	}
	s.conns[p] = struct{}{}
	s.serving.Add(1)
	return true
}

func (s *Server) remove(p *peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, p)
	s.serving.Done()
}

// rest notes that a connection is between two requests, or no longer. It returns
// false when it is to end: what Shutdown finds between two it closes, and what rests
// after it has looked sees that it was called.
func (s *Server) rest(p *peer, idle bool) bool {
	p.rests.Store(idle)
	return !s.ends()
}

// Shutdown stops listening, ends each connection when its request has, and returns
// when all have ended or ctx has, with its error.
func (s *Server) Shutdown(ctx context.Context) error {
	s.open()
	s.stop(func(idle bool) bool { return idle })
	var err error
	if s.second != nil {
		err = s.second.Shutdown(ctx)
	}
	ended := make(chan struct{})
	go func() {
		s.serving.Wait()
		s.background.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends everything at once.
func (s *Server) Close() error {
	s.open()
	s.stop(func(bool) bool { return true })
	if s.second != nil {
		return s.second.Close()
	}
	return nil
}

// stop ends the listeners, and the connections of which which is true.
func (s *Server) stop(which func(idle bool) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ends() {
		close(s.stopped)
	}
	for l := range s.listeners {
		_ = l.Close()
	}
	for p := range s.conns {
		if which(p.rests.Load()) {
			p.cancel()
			_ = p.socket.Close()
		}
	}
}

// handover gives a connection to who serves HTTP/2, and reports whether it was taken.
func (s *Server) handover(ctx context.Context, nc net.Conn) bool {
	select {
	case s.handed.conns <- nc:
		return true
	case <-s.handed.done:
	case <-ctx.Done():
	}
	return false
}

// handover is the listener of the connections that speak HTTP/2.
type handover struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

// Accept implements net.Listener.
func (h *handover) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (h *handover) Close() error {
	h.once.Do(func() { close(h.done) })
	return nil
}

// Addr implements net.Listener.
func (h *handover) Addr() net.Addr { return &net.TCPAddr{} }
