// Package demo shows the whole of Mintmark at work in one process: a trust
// domain, a token issuer, an MCP server that refuses calls without its
// credential, a broker run by the same code as `mintmark serve`, and an agent
// that is a real MCP client. They talk over real sockets.
package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"time"

	"mintmark/broker"
	"mintmark/broker/audit"
	"mintmark/internal/trustdomain"
)

// Options is what a run depends on.
type Options struct {
	Kinds   broker.Kinds
	Out     io.Writer
	Once    bool // end after the calls
	JSON    bool // end with one line of JSON
	Verbose bool // show the broker's log
}

func (o Options) tee(w io.Writer) io.Writer {
	if o.Verbose {
		return io.MultiWriter(w, o.Out)
	}
	return w
}

// changes shows the reader what became of a change of the files.
func (o Options) changes() slog.Handler {
	if o.Verbose {
		return slog.DiscardHandler // the log shows it
	}
	return slog.NewTextHandler(o.Out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
			return slog.Attr{}
		}
		return a
	}})
}

// Run shows the calls and what became of them; then, without Options.Once, it
// keeps serving until ctx ends.
func Run(ctx context.Context, o Options) (err error) {
	fmt.Fprintln(o.Out, "Starting a trust domain, a token issuer, an MCP server and the broker …")
	w, err := open(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close(ctx)) }()
	s := &show{world: w, out: o.Out}
	if err := s.calls(ctx); err != nil {
		return err
	}
	counts, err := s.trail(ctx)
	if err != nil {
		return err
	}
	if !o.Once {
		if err := s.serveOn(ctx); err != nil {
			return err
		}
		if counts, _, err = s.tally(context.WithoutCancel(ctx), func(audit.Record) {}); err != nil {
			return err
		}
	}
	if o.JSON {
		if err := json.NewEncoder(o.Out).Encode(counts); err != nil {
			return err
		}
	}
	if counts.Leaks > 0 || !counts.AuditVerified {
		return fmt.Errorf("demo: expected a verified log and no leaks, got verified %t and %d leaks", counts.AuditVerified, counts.Leaks)
	}
	return nil
}

// show is one run, with its output.
type show struct {
	*world
	out    io.Writer
	tokens []string // what agents were given, to look for it later
}

func (s *show) say(format string, args ...any) { fmt.Fprintf(s.out, format+"\n", args...) }

// token returns what the agent's platform gives it: a JWT-SVID for the broker.
func (s *show) token(d *trustdomain.Domain) (string, error) {
	token, err := d.JWTSVID(d.ID("agent", "shop"), trustdomain.JWTRequest{Audience: []string{"mintmark"}})
	if err == nil {
		s.tokens = append(s.tokens, token)
	}
	return token, err
}

// as runs fn with a connected agent.
func (s *show) as(ctx context.Context, e evidence, fn func(*agent) error) error {
	a, err := s.connect(ctx, e)
	if err != nil {
		return fmt.Errorf("connect the agent: %w", err)
	}
	defer a.close()
	return fn(a)
}

// asShop runs fn as the agent of the demonstration, with a fresh token.
func (s *show) asShop(ctx context.Context, fn func(*agent) error) error {
	token, err := s.token(s.domain)
	if err != nil {
		return err
	}
	return s.as(ctx, evidence{bearer: token}, fn)
}

// await waits until posture says so; the record shows it.
func (s *show) await(ctx context.Context, value string) error {
	return poll(ctx, "the scan report to be read", func() (bool, error) {
		var last audit.Record
		for r, err := range audit.Query(s.log(), audit.Filter{Kind: audit.Posture}) {
			if err != nil {
				return false, err
			}
			last = r
		}
		return len(last.Posture) == 1 && last.Posture[0].Value == value, nil
	})
}

// last returns the newest allowed decision about a tool.
func (s *show) last(ctx context.Context, tool string) (rec audit.Record, err error) {
	err = poll(ctx, "the record of the call", func() (bool, error) {
		for r, err := range audit.Query(s.log(), audit.Filter{Kind: audit.Decision, Tool: tool, Outcome: "allow"}) {
			if err != nil {
				return false, err
			}
			rec = r
		}
		return rec.Call != "", nil
	})
	return rec, err
}

// poll asks until the answer is yes, for ten seconds at most.
func poll(ctx context.Context, what string, yes func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := yes()
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", what, ctx.Err())
		case <-tick.C:
		}
	}
}

func (w *world) log() string { return filepath.Join(w.dir, "audit") }
