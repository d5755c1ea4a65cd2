package connect_test

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"mintmark/cmd/mintmark/connect"
)

// slow answers when free is closed, and then with a session's revision.
func slow(f *fake, free <-chan struct{}) func(http.ResponseWriter, request) {
	return withSession(func(w http.ResponseWriter, r request) {
		if r.method == http.MethodGet {
			stream(w, ":\n\n")
			f.wait(r.gone)
			return
		}
		select {
		case <-free:
			inform(w, http.StatusOK, result("1"))
		case <-r.gone:
		case <-f.free:
		}
	})
}

// An answer under way comes after the client has closed its end, or after the
// signal to stop; then the session is ended.
func TestAnswersUnderWayCome(t *testing.T) {
	for name, stop := range map[string]func(*program){
		"end of input": func(c *program) { _ = c.in.Close() },
		"signal":       func(c *program) { c.signal() },
	} {
		t.Run(name, func(t *testing.T) {
			free := make(chan struct{})
			f := newFake(t, nil)
			f.handle = slow(f, free)
			c := f.run(connect.Options{})
			f.begin(c)
			c.send(ping)
			f.until("the call", func(r request) bool { return r.body == ping })
			stop(c)
			close(free)
			c.want(result("1"))
			if err := c.close(); err != nil {
				t.Errorf("end: got %v", err)
			}
			f.until("the end of the session", func(r request) bool { return r.method == http.MethodDelete })
		})
	}
}

// What does not come is cut, with an answer that says so: after some seconds, or
// at once when the signal comes after the end of input.
func TestCallsThatDoNotEndAreCut(t *testing.T) {
	for name, signal := range map[string]bool{"in time": false, "at once": true} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, nil)
			f.handle = slow(f, nil)
			c := f.run(connect.Options{})
			f.begin(c)
			c.send(ping)
			call := f.until("the call", func(r request) bool { return r.body == ping })
			_ = c.in.Close()
			if signal {
				c.signal()
			}
			c.wantError(1.0, -31503, "stopped before the answer")
			if err := c.close(); err != nil {
				t.Errorf("end: got %v", err)
			}
			recv(t, "the end of the call", ended(call.gone))
			f.until("the end of the session", func(r request) bool { return r.method == http.MethodDelete })
		})
	}
}

// A script may write all its messages at once and close its end.
func TestAllAtOnce(t *testing.T) {
	f := newFake(t, withSession(func(w http.ResponseWriter, r request) {
		if r.method == http.MethodGet {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		inform(w, http.StatusOK, result("1"))
	}))
	c := f.run(connect.Options{})
	c.send(initialize, initialized, ping)
	if err := c.close(); err != nil {
		t.Errorf("end: got %v", err)
	}
	c.want(agreed)
	c.want(result("1"))
}

// A signal while the first answer is awaited ends the program too.
func TestSignalWhileInitializing(t *testing.T) {
	f := newFake(t, nil)
	f.handle = func(_ http.ResponseWriter, r request) { f.wait(r.gone) }
	c := f.run(connect.Options{})
	c.send(initialize)
	f.next()
	c.signal()
	c.wantError(0.0, -31503, "stopped")
	if err := recv(t, "the end", c.ended); err != nil {
		t.Errorf("end: got %v", err)
	}
	c.ended <- nil
}

// closedPipe is an output whose reader is gone.
type closedPipe struct{}

func (closedPipe) Write([]byte) (int, error) { return 0, os.ErrClosed }
func (closedPipe) Close() error              { return nil }

// A client that is gone ends the program, and its session with it.
func TestClientThatIsGone(t *testing.T) {
	f := newFake(t, withSession(nil))
	in, stdin := io.Pipe()
	c := &program{t: t, in: stdin, ended: make(chan error, 1)}
	c.start(f.place, connect.Options{Broker: f.address}, in, closedPipe{})
	t.Cleanup(c.end)
	c.send(initialize)
	if err := recv(t, "the end", c.ended); !errors.Is(err, os.ErrClosed) || !strings.Contains(err.Error(), "write to the client") {
		t.Errorf("end: got %v, want that nothing can be written", err)
	}
	c.ended <- nil
	f.until("the end of the session", func(r request) bool { return r.method == http.MethodDelete })
}

// A client that does not read holds up the end no longer than its calls might.
func TestClientThatDoesNotRead(t *testing.T) {
	f := newFake(t, func(w http.ResponseWriter, _ request) { inform(w, http.StatusOK, result("1")) })
	in, stdin := io.Pipe()
	out, stdout := io.Pipe()
	c := &program{t: t, in: stdin, ended: make(chan error, 1)}
	c.start(f.place, connect.Options{Broker: f.address}, in, stdout)
	t.Cleanup(func() {
		_ = out.Close()
		c.end()
	})
	c.send(ping)
	f.next()
	if err := c.close(); err != nil {
		t.Errorf("end: got %v", err)
	}
	if !strings.Contains(c.stderr.String(), "the client does not read") {
		t.Errorf("got log %s, want it to say why", c.stderr.String())
	}
}
