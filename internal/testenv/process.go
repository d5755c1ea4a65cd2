package testenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	// startLimit is far more than any server needs, even on a busy machine.
	startLimit = 90 * time.Second
	// stopLimit is how long a server may take to obey its quit signal.
	stopLimit = 10 * time.Second
	// pollEvery is how often a server is asked whether it is ready.
	pollEvery = 25 * time.Millisecond
	// portTries is how many ports are tried when somebody else takes them.
	portTries = 5
	// logTail is how many lines of a server's log a failure shows.
	logTail = 40
)

// errEnded is why a server that ends by itself will never be ready.
var errEnded = errors.New("process ended")

// server says how to start a server and how to tell that it is ready.
type server struct {
	name    string
	command func(port int) command
	// ready returns nil when p, and no other server that might hold its port,
	// answers.
	ready func(ctx context.Context, p *process) error
}

// command is one program to run. It gets env and nothing else of the
// environment, so that no setting of the developer's shell reaches a server.
type command struct {
	path string
	args []string
	env  []string
	dir  string
	user *syscall.Credential
	// quit ends the program; SIGKILL if zero, for servers that keep nothing
	// outside their folder.
	quit syscall.Signal
}

// process is a running program. Its methods are safe for concurrent use.
type process struct {
	log  string // path of its output
	port int    // 0 if it was not launched
	pid  int
	quit syscall.Signal
	done chan struct{}
}

// launch starts s on a free port and returns when it is ready. The test stops
// it when it ends.
func launch(t testing.TB, s server) *process {
	t.Helper()
	for try := 1; ; try++ {
		port := FreePort(t)
		p := start(t, s.name, s.command(port))
		p.port = port
		err := p.await(t.Context(), func(ctx context.Context) error { return s.ready(ctx, p) })
		if err == nil {
			return p
		}
		p.stop()
		if try < portTries && p.portTaken() {
			continue
		}
		t.Fatalf("start %s: %v; end of its log:\n%s", s.name, err, p.tail())
	}
}

// start runs c with its output in a log. The test stops it when it ends.
func start(t testing.TB, name string, c command) *process {
	t.Helper()
	log, err := os.CreateTemp(t.TempDir(), name+"-*.log")
	if err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	defer log.Close()
	cmd := c.build(log)
	p := &process{log: log.Name(), quit: quitSignal(c), done: make(chan struct{})}
	if err := p.run(cmd); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	t.Cleanup(func() {
		if t.Failed() && p.ended() {
			t.Logf("%s had ended before its test; end of its log:\n%s", name, p.tail())
		}
		p.stop()
	})
	return p
}

func (c command) build(log *os.File) *exec.Cmd {
	cmd := exec.Command(c.path, c.args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.dir}, c.env...)
	cmd.Dir = c.dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = attributes(c.user, quitSignal(c))
	return cmd
}

func quitSignal(c command) syscall.Signal {
	if c.quit == 0 {
		return syscall.SIGKILL
	}
	return c.quit
}

// run starts cmd and returns; done is closed when it ends. The thread that
// starts it waits for it too: the kernel counts the end of that thread, not of
// the process, as the death of the parent.
func (p *process) run(cmd *exec.Cmd) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		p.pid = cmd.Process.Pid
		started <- nil
		_ = cmd.Wait() // the log tells why it ended
		close(p.done)
	}()
	return <-started
}

// await polls ready until it returns nil, the process ends, or startLimit has
// passed.
func (p *process) await(ctx context.Context, ready func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-p.done:
			cancel(errEnded)
		case <-ctx.Done():
		}
	}()
	return poll(ctx, ready)
}

// poll calls try until it returns nil, or returns its last error when ctx ends
// or startLimit has passed.
func poll(ctx context.Context, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}

// stop ends the process and what it started, and returns when it is gone.
func (p *process) stop() {
	p.signal(p.quit)
	select {
	case <-p.done:
	case <-time.After(stopLimit):
		p.signal(syscall.SIGKILL)
		<-p.done
	}
}

func (p *process) signal(sig syscall.Signal) {
	if !p.ended() { // or its id may be another process's by now
		_ = syscall.Kill(-p.pid, sig)
	}
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// portTaken reports whether the log blames a port that is in use.
func (p *process) portTaken() bool {
	log := strings.ToLower(p.output())
	return strings.Contains(log, "already in use") || strings.Contains(log, "eaddrinuse")
}

func (p *process) output() string {
	log, err := os.ReadFile(p.log)
	if err != nil {
		return fmt.Sprintf("read %s: %v", filepath.Base(p.log), err)
	}
	return string(log)
}

func (p *process) tail() string {
	lines := strings.Split(strings.TrimSpace(p.output()), "\n")
	return strings.Join(lines[max(0, len(lines)-logTail):], "\n")
}
