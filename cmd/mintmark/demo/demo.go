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
	"os"
	"path/filepath"
	"strings"
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

// madeUp is the key an agent in the demonstration invents.
const madeUp = "sk-made-up-by-the-agent-0123456789"

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

// calls lets the agents make the calls, and fails when one comes out otherwise
// than it must.
func (s *show) calls(ctx context.Context) error {
	for _, step := range []func(context.Context) error{s.allowed, s.strippedAuth, s.scrubbed, s.deniedTool, s.badScan, s.forged} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

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

func (s *show) allowed(ctx context.Context) error {
	s.say("\n1. The agent %s calls lookup_order.\n   It presents a token of its platform, and holds no key to the orders server.", s.domain.ID("agent", "shop"))
	return s.asShop(ctx, func(a *agent) error {
		answer, err := a.call(ctx, "lookup_order", map[string]any{"order": "1042"})
		if err != nil {
			return fmt.Errorf("expected the call to be allowed: %w", err)
		}
		s.say("   allowed: %q", answer)
		rec, err := s.last(ctx, "lookup_order")
		if err != nil {
			return err
		}
		s.say("   with a credential of %s: fingerprint %s, scopes %v, ends in %s", rec.Provider, rec.Fingerprint, rec.Scopes, time.Until(rec.NotAfter).Round(time.Second))
		return nil
	})
}

func (s *show) strippedAuth(ctx context.Context) error {
	s.say("\n2. The same call over mTLS, with an Authorization header that the agent made up.")
	svid, err := s.domain.X509SVID(s.domain.ID("agent", "shop"), trustdomain.X509Request{})
	if err != nil {
		return err
	}
	return s.as(ctx, evidence{bearer: madeUp, svid: svid}, func(a *agent) error {
		if _, err := a.call(ctx, "lookup_order", map[string]any{"order": "1043"}); err != nil {
			return fmt.Errorf("expected the call to be allowed: %w", err)
		}
		if s.upstream.saw(madeUp) {
			return errors.New("expected the made-up key to be stripped; it reached the server")
		}
		rec, err := s.last(ctx, "lookup_order")
		if err != nil {
			return err
		}
		s.say("   allowed: stripped %v; the server saw only the broker's credential (held already: %t)", rec.Stripped, rec.Cached)
		return nil
	})
}

func (s *show) scrubbed(ctx context.Context) error {
	s.say("\n3. A careless tool repeats its credential in its answer.")
	return s.asShop(ctx, func(a *agent) error {
		answer, err := a.call(ctx, "repeat_headers", nil)
		if err != nil {
			return fmt.Errorf("expected the call to be allowed: %w", err)
		}
		s.say("   the agent gets: %.40q…", answer)
		return nil
	})
}

func (s *show) deniedTool(ctx context.Context) error {
	s.say("\n4. The agent calls refund_order, which no policy permits.")
	return s.asShop(ctx, func(a *agent) error {
		_, err := a.call(ctx, "refund_order", map[string]any{"order": "1042"})
		return s.expectDenied(err, "no policy permits")
	})
}

func (s *show) badScan(ctx context.Context) error {
	s.say("\n5. The agent's vulnerability scan turns bad; it calls lookup_order again.")
	return s.asShop(ctx, func(a *agent) error {
		if err := s.scan("CRITICAL"); err != nil {
			return err
		}
		if err := s.await(ctx, "fail"); err != nil {
			return err
		}
		_, err := a.call(ctx, "lookup_order", map[string]any{"order": "1042"})
		if err := s.expectDenied(err, "no passing vulnerability scan"); err != nil {
			return err
		}
		if err := s.scan("LOW"); err != nil {
			return err
		}
		return s.await(ctx, "pass")
	})
}

func (s *show) forged(ctx context.Context) error {
	s.say("\n6. A stranger forges the agent's identity with a key of its own.")
	token, err := s.token(trustdomain.New("demo.example", trustdomain.Options{}))
	if err != nil {
		return err
	}
	a, err := s.connect(ctx, evidence{bearer: token})
	if err == nil {
		a.close()
	}
	return s.expectDenied(err, "expected a key of trust domain")
}

// expectDenied demands that err is a refusal in the broker's own words, and for
// the reason of which a part is given. A broker that is not there denies nothing.
func (s *show) expectDenied(err error, reason string) error {
	refusal, ok := errors.AsType[refusal](err)
	if !ok || !strings.Contains(string(refusal), reason) {
		return fmt.Errorf("expected the broker to refuse the call for %q, got %w", reason, orAllowed(err))
	}
	s.say("   denied: %v", err)
	return nil
}

func orAllowed(err error) error {
	if err == nil {
		return errors.New("it allowed")
	}
	return err
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

// serveOn keeps the world open and keeps a fresh token for the reader's own
// calls.
func (s *show) serveOn(ctx context.Context) error {
	file := filepath.Join(s.dir, "agent.jwt")
	renew := func() error {
		token, err := s.token(s.domain)
		if err != nil {
			return err
		}
		return os.WriteFile(file, []byte(token), 0o600)
	}
	if err := renew(); err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		program = "mintmark"
	}
	s.say(howToCall, file, s.plain, s.dir, s.log(), program, s.secure, s.agentAPI, tryCall)
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-s.failed:
			return err
		case <-tick.C:
			if err := renew(); err != nil {
				return err
			}
		}
	}
}

// tryCall is the call that the reader makes. Said in one line, it is what the
// broker reads and what an MCP client writes to "mintmark connect".
const tryCall = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"lookup_order","arguments":{"order":"7"}}}`

const howToCall = `
Still serving. Be the agent yourself, from another terminal, with a token:

  curl -s -H "Authorization: Bearer $(cat %[1]s)" \
    -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' \
    -d '%[8]s' \
    %[2]s/mcp/orders

or with the agent's certificate, as a desktop client would:

  echo '%[8]s' |
    %[5]s connect orders --broker %[6]s --workload-api %[7]s

TLS:         %[6]s/mcp/orders, with the SVIDs of %[7]s
All servers: %[2]s/mcp takes no call this bare: see "Which era a request is of" in docs/mcp.md
The broker is configured by %[3]s; change policies.cedar there and call again.
The record:  %[5]s audit query --log %[4]s
             %[5]s audit verify --log %[4]s
End with Ctrl-C.`
