package connect_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"mintmark/cmd/mintmark/connect"
	"mintmark/internal/trustdomain"
)

const patience = 20 * time.Second // for what happens at once on an idle machine

// place is a trust domain with a Workload API for the agent.
type place struct {
	dir      string
	domain   *trustdomain.Domain
	workload string // address of the agent's Workload API
}

func newPlace(t *testing.T, o trustdomain.Options) *place {
	t.Helper()
	dir, err := os.MkdirTemp("", "mm-") // t.TempDir's path is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p := &place{dir: dir, domain: trustdomain.New("example.org", o)}
	p.workload = p.serveWorkloadAPI(t, "agent", "shop")
	return p
}

// serveWorkloadAPI serves the Workload API for one workload.
func (p *place) serveWorkloadAPI(t *testing.T, segments ...string) string {
	t.Helper()
	api, err := p.domain.ServeWorkloadAPI(context.WithoutCancel(t.Context()), filepath.Join(p.dir, segments[len(segments)-1]+".sock"), p.domain.ID(segments...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = api.Close() })
	return api.Addr()
}

// program is connect.Run with pipes for its standard input and output.
type program struct {
	t      *testing.T
	in     *io.PipeWriter
	lines  chan string // of the output
	ended  chan error
	signal context.CancelFunc
	stderr buffer
	stdout buffer
}

// run starts connect in a place. At the test's end it must end, leave no
// goroutine, and have put out nothing that is secret.
func (p *place) run(t *testing.T, o connect.Options) *program {
	t.Helper()
	in, stdin := io.Pipe()
	out, stdout := io.Pipe()
	c := &program{t: t, in: stdin, lines: make(chan string, 1024), ended: make(chan error, 1)}
	go func() {
		defer close(c.lines)
		for d := json.NewDecoder(io.TeeReader(out, &c.stdout)); ; {
			var line json.RawMessage
			if d.Decode(&line) != nil {
				return
			}
			c.lines <- string(line)
		}
	}()
	c.start(p, o, in, stdout)
	t.Cleanup(c.end)
	return c
}

// start starts the program with any input and output.
func (c *program) start(p *place, o connect.Options, in io.Reader, out io.WriteCloser) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(c.t.Context()))
	c.signal = cancel
	o.In, o.Out, o.Audience = in, out, "mintmark"
	o.Logger = slog.New(slog.NewJSONHandler(&c.stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if o.WorkloadAPI == "" {
		o.WorkloadAPI = p.workload
	}
	if o.MaxMessage == 0 {
		o.MaxMessage = 64 << 10
	}
	go func() {
		err := connect.Run(ctx, o)
		_ = out.Close()
		c.ended <- err
	}()
}

// send writes lines to its standard input.
func (c *program) send(lines ...string) {
	c.t.Helper()
	for _, line := range lines {
		if _, err := io.WriteString(c.in, line+"\n"); err != nil {
			c.t.Fatalf("write %s: %v", line, err)
		}
	}
}

// next returns the next line of its standard output.
func (c *program) next() string {
	c.t.Helper()
	return recv(c.t, "a line", c.lines)
}

// want demands what comes next.
func (c *program) want(line string) {
	c.t.Helper()
	if got := c.next(); got != line {
		c.t.Fatalf("got %s, want %s\nstderr: %s", got, line, c.stderr.String())
	}
}

// failure is an error answer.
type failure struct {
	ID    any
	Error struct {
		Code    int
		Message string
		Data    any
	}
}

// wantError demands that an error answer comes next, under an id, with a code
// and words.
func (c *program) wantError(id any, code int, words ...string) {
	c.t.Helper()
	line := c.next()
	var got failure
	if err := json.Unmarshal([]byte(line), &got); err != nil || got.ID != id || got.Error.Code != code || !strings.HasPrefix(got.Error.Message, "mintmark: ") {
		c.t.Fatalf("got %s, want an error of mintmark for id %v with code %d\nstderr: %s", line, id, code, c.stderr.String())
	}
	for _, word := range words {
		if !strings.Contains(got.Error.Message, word) {
			c.t.Errorf("got %q, want it to say %q", got.Error.Message, word)
		}
	}
}

// close closes the standard input and returns how the program ended.
func (c *program) close() error {
	c.t.Helper()
	_ = c.in.Close()
	err := recv(c.t, "the end", c.ended)
	c.ended <- err
	return err
}

func (c *program) end() {
	_ = c.close()
	await(c.t, "the end of its goroutines", func() bool { return !strings.Contains(stacks(), "mintmark/cmd/mintmark/connect.") })
	for where, text := range map[string]string{"stdout": c.stdout.String(), "stderr": c.stderr.String()} {
		for _, secret := range []string{"eyJ", "PRIVATE KEY", "CERTIFICATE", "canary"} {
			if strings.Contains(text, secret) {
				c.t.Errorf("%s: it has %q in it: %s", where, secret, text)
			}
		}
	}
	if c.t.Failed() {
		c.t.Logf("stderr:\n%s", c.stderr.String())
	}
}

func stacks() string {
	buf := make([]byte, 4<<20)
	return string(buf[:runtime.Stack(buf, true)])
}

// await polls until yes, and fails the test when it stays no.
func await(t *testing.T, what string, yes func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !yes() {
		select {
		case <-deadline:
			t.Fatalf("wait for %s: got none within %s\n%s", what, patience, stacks())
		case <-tick.C:
		}
	}
}

// recv returns what comes over c, and fails the test when nothing does.
func recv[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v, ok := <-c:
		if !ok {
			t.Fatalf("wait for %s: it comes no more", what)
		}
		return v
	case <-time.After(patience):
		t.Fatalf("wait for %s: got none within %s", what, patience)
		panic("not reached")
	}
}

// buffer is a bytes.Buffer for several writers.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// String returns all of it.
func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
