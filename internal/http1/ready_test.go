package http1_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"mintmark/internal/http1"
)

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// idle waits until so many connections are kept.
func idle(t *testing.T, c *http1.Client, want int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); c.Idle() != want; {
		if time.Now().After(deadline) {
			t.Fatalf("got %d idle connections, want %d", c.Idle(), want)
		}
		<-time.After(time.Millisecond)
	}
}

// One connection is made however often that is asked for, and the next request goes
// on it.
func TestReadyMakesTheConnectionOfTheNextRequest(t *testing.T) {
	s := serve(t, answers(ok))
	c := newClient(t, s.Addr().String())
	for range 3 {
		c.Ready()
	}
	idle(t, c, 1)
	c.Ready()
	for range 2 {
		if status, got, err := call(t.Context(), c, post("x")); err != nil || status != 200 || got != "ok" {
			t.Fatalf("got %d %q, %v", status, got, err)
		}
	}
	if n := s.connections.Load(); n != 1 {
		t.Errorf("got %d connections, want 1", n)
	}
}

// That no connection could be made ahead is nobody's error: a request makes its own.
func TestAFailureToMakeReadyIsNobodys(t *testing.T) {
	s := serve(t, answers(ok))
	var dials atomic.Int32
	failed := make(chan struct{})
	c := dialing(t, func(ctx context.Context) (net.Conn, error) {
		if dials.Add(1) == 1 {
			defer close(failed)
			return nil, errors.New("no route")
		}
		return new(net.Dialer).DialContext(ctx, "tcp", s.Addr().String())
	})
	c.Ready()
	<-failed
	if status, got, err := call(t.Context(), c, post("x")); err != nil || status != 200 || got != "ok" {
		t.Errorf("got %d %q, %v", status, got, err)
	}
}

// What is being made ends with the client, one at a time, and what comes late is
// closed.
func TestCloseEndsWhatIsMadeReady(t *testing.T) {
	var dials atomic.Int32
	ended := make(chan struct{})
	near, far := net.Pipe()
	c := dialing(t, func(ctx context.Context) (net.Conn, error) {
		if dials.Add(1) == 1 {
			<-ctx.Done()
			close(ended)
		}
		return near, nil // though nobody waits for it any more
	})
	for range 3 {
		c.Ready()
	}
	c.Close()
	<-ended
	if _, err := far.Read(make([]byte, 1)); err == nil {
		t.Error("got something on the connection, want its end")
	}
	c.Ready()
	if n := dials.Load(); n != 1 || c.Idle() != 0 {
		t.Errorf("got %d dials and %d idle connections, want one dial and none", n, c.Idle())
	}
}
