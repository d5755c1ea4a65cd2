package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	startLimit = 30 * time.Second
	stopLimit  = 20 * time.Second
	killLimit  = 2 * time.Second
	pollEvery  = 10 * time.Millisecond
)

// children are the processes of a run.
type children struct {
	dir string // of their logs
	all []*child
}

// child is one process, in a group of its own.
type child struct {
	name, log string
	pid       int
	done      chan struct{} // closed when it has ended
	err       error         // how; readable once done is closed
}

// start starts a program with its output in a log.
func (c *children) start(name string, env []string, path string, args ...string) (*child, error) {
	log, err := os.Create(filepath.Join(c.dir, name+".log"))
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer log.Close()                  // the process has its own descriptor
	cmd := exec.Command(path, args...) //nolint:gosec // G204: programs that the caller of mintbench names
	cmd.Dir, cmd.Env = c.dir, append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = attributes()
	p := &child{name: name, log: log.Name(), done: make(chan struct{})}
	if err := p.run(cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	c.all = append(c.all, p)
	return p, nil
}

// run starts cmd and returns; done is closed when it ends. The thread that
// starts it stays for its whole life: the kernel takes the end of that thread
// for the death of the parent.
func (p *child) run(cmd *exec.Cmd) error {
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
		p.err = cmd.Wait()
		close(p.done)
	}()
	return <-started
}

// ready waits until p accepts connections at each address.
func (p *child) ready(ctx context.Context, addresses ...string) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for _, a := range addresses {
		if err := p.accepts(ctx, a); err != nil {
			return fmt.Errorf("start %s: %w; the end of its log:\n%s", p.name, err, p.tail())
		}
	}
	return nil
}

func (p *child) accepts(ctx context.Context, address string) error {
	var d net.Dialer
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		conn, err := d.DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-p.done:
			return fmt.Errorf("it ended: %w", errors.Join(p.err, err))
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

// end asks p to end, and returns how it did. A process that had to be killed
// is an error.
func (p *child) end() error {
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
		if p.err != nil {
			return fmt.Errorf("%s: %w; the end of its log:\n%s", p.name, p.err, p.tail())
		}
		return nil
	case <-time.After(stopLimit):
		p.kill()
		return fmt.Errorf("%s: still ran %v after it was asked to end; the end of its log:\n%s", p.name, stopLimit, p.tail())
	}
}

// kill ends p and all that it started. It asks first, so that p can wait for
// processes of its own.
func (p *child) kill() {
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(killLimit):
	}
	p.signal(syscall.SIGKILL)
	<-p.done
}

func (p *child) signal(sig syscall.Signal) {
	select {
	case <-p.done: // its id may be another process's by now
	default:
		_ = syscall.Kill(-p.pid, sig) // it just ended, which is what was wanted
	}
}

// kill ends every process that still runs.
func (c *children) kill() {
	for _, p := range c.all {
		p.kill()
	}
}

// tail returns the last lines of p's log.
func (p *child) tail() string {
	const lines = 15
	log, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(log)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// freePort returns another address each time: who listens on the one before may not do so yet.
func (w *world) freePort() (string, error) {
	for {
		at, err := freePort()
		if err != nil {
			return "", err
		}
		if w.ports == nil {
			w.ports = make(map[string]bool)
		}
		if !w.ports[at] {
			w.ports[at] = true
			return at, nil
		}
	}
}

// freePort returns the address of a loopback port that nobody listens on, below
// those that the system gives to outgoing connections: one of these could take it
// before it is listened on.
func freePort() (string, error) {
	var last error
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(12_000))) //nolint:gosec // not a secret
		if err == nil {
			return l.Addr().String(), l.Close()
		}
		last = err
	}
	return "", fmt.Errorf("find a free port: %w", last)
}
