// Package connect is an MCP server over standard input and output that carries
// every message to a broker and back, so that a client that can only start
// programs needs no secret either. The evidence that the broker wants is this
// process's own, from its SPIFFE Workload API.
//
// What is read is sent byte for byte, and what is written is what the broker
// answered, on one line. Where an answer is missing it says why, under the id
// of the request: a client is never left waiting.
package connect

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"mintmark/injector/mcp"
)

// Options are what a bridge stands between.
type Options struct {
	In     io.Reader // closed at the end when it is an io.Closer
	Out    io.Writer // MCP messages, one a line, and nothing else
	Logger *slog.Logger

	Broker      string // "https://HOST[:PORT]" or "unix:///PATH"
	Upstream    string // registered name; "" for all that are served together
	WorkloadAPI string // "unix:///PATH"
	BrokerID    string // the broker's SPIFFE ID; "" for any in the own trust domain
	CA          string // file with the CAs of a broker that has no SVID
	Audience    string // of the JWT-SVID, over a Unix socket
	MaxMessage  int64  // longest line

	Wait time.Duration // for the first answer of the Workload API; 0: 10 s
}

// depth is the deepest nesting of a message that can be read here. What is too
// deep for an upstream is the broker's to say, whose limits.depth is not known.
const depth = 10_000

// How long things may take once the client has closed its end, or the process
// is told to stop. Clients kill a server that does not end within 4 s or so.
const (
	grace    = 3 * time.Second         // for answers under way
	clearing = time.Second             // for what was cut to end
	farewell = 1500 * time.Millisecond // for the end of the session
)

// Run carries messages until In ends or ctx does, lets the answers under way
// come, and ends the session. It returns an error when it could not begin, and
// when it had to end before the client wanted it to.
func Run(ctx context.Context, o Options) error {
	l, err := newLink(o)
	if err != nil {
		return err
	}
	b := newBridge(ctx, o, l)
	in := newInput(o.In, o.MaxMessage)
	defer in.close()
	err = b.pump(ctx, in)
	b.end(ctx, in, err)
	return errors.Join(err, l.close())
}

func newBridge(ctx context.Context, o Options, l *link) *bridge {
	b := &bridge{link: l, reader: mcp.NewReader(depth), logger: o.Logger, limit: o.MaxMessage, failed: make(chan error, 1)}
	b.running, b.stop = context.WithCancelCause(context.WithoutCancel(ctx))
	b.out = &output{w: o.Out, failed: b.fail}
	b.calls.slots = make(chan struct{}, maxRunning)
	return b
}
