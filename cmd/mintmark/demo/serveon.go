package demo

import (
	"context"
	"os"
	"path/filepath"
	"time"
)

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
