package broker

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"mintmark/attest"
	"mintmark/injector/mcp"
	"mintmark/internal/fault"
)

// longestID is the longest session id of an upstream that is taken, in bytes: a
// handle is a third longer, and must fit in an agent's head beside its token.
const longestID = 2 << 10

// sessions seals the session ids of upstreams into handles for agents. A handle
// opens only for the workload and the upstream it was made for, so holding one
// proves nothing: a session is never authority. The workload is its issuer and
// subject, and no byte of its evidence, which is renewed while the session goes
// on.
type sessions struct{ aead cipher.AEAD }

// newSessions returns sessions under a fresh key. Handles do not survive a
// restart: their owners get "unknown session" and begin a new one, as the
// protocol has them do.
func newSessions() (*sessions, error) {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails: crypto/rand.Read ends the process instead
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("make the session key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("make the session key: %w", err)
	}
	return &sessions{aead: aead}, nil
}

// seal returns the handle of an upstream's session for one workload.
func (s *sessions) seal(id, upstream string, owner attest.Identity) string {
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, []byte(id), binding(upstream, owner))) //nolint:gosec // this AEAD makes its own random nonce
}

// errSession marks a refusal that says that a session is over.
var errSession = errors.New("handle of another workload, upstream or time")

// open returns the upstream's session id in handle. It returns a
// fault.NotFound for a handle that was not made for this workload and upstream.
func (s *sessions) open(handle, upstream string, owner attest.Identity) (string, error) {
	if longest := base64.RawURLEncoding.EncodedLen(longestID + s.aead.Overhead()); len(handle) <= longest && !owner.IsZero() {
		sealed, err := base64.RawURLEncoding.Strict().DecodeString(handle)
		if err == nil {
			var id []byte
			if id, err = s.aead.Open(nil, nil, sealed, binding(upstream, owner)); err == nil {
				return string(id), nil
			}
		}
	}
	return "", unknownSession()
}

func unknownSession() error {
	return fault.Wrap("receive", fault.NotFound, "unknown session: it ended, or it is not this agent's; initialize a new one", errSession)
}

// binding is what a handle is good for. Each part has its length before it, so
// that no two owners share one.
func binding(upstream string, owner attest.Identity) []byte {
	var b []byte
	for _, part := range [...]string{upstream, owner.Issuer(), owner.Subject()} {
		b = binary.BigEndian.AppendUint64(b, uint64(len(part)))
		b = append(b, part...)
	}
	return b
}

// departed lets the credentials go that the agent of c has of its own for the
// upstreams that it has ended a session with.
func (b *Broker) departed(c *call) {
	session := c.session
	if c.bridged != nil {
		session = c.bridged.digest
	}
	b.inUse.ends(c, session)
}

// checkSession refuses an answer that says that the call's session is over, in
// the one way that every client acts on, and one with a session id that no
// handle can stand for.
func (b *Broker) checkSession(c *call, resp *http.Response) error {
	if !sessionID(resp.Header[mcp.HeaderSession]) {
		return fault.New("forward", fault.BadUpstream, fmt.Sprintf("the upstream's session id is not one of at most %d visible ASCII characters", longestID))
	}
	if c.session != "" && b.sessionOver(c, resp) {
		b.inUse.ends(c, c.session)
		return fault.Wrap("forward", fault.NotFound, "the upstream no longer knows this session; initialize a new one", errSession)
	}
	return nil
}

// sessionID reports whether the values of a header are at most one id as the
// protocol has it.
func sessionID(values []string) bool {
	return len(values) == 0 || len(values) == 1 && len(values[0]) <= longestID &&
		!strings.ContainsFunc(values[0], func(r rune) bool { return r < '!' || r > '~' })
}

// sessionOver reports whether an upstream's answer to a call in a session says
// that it knows no such session. By the protocol that is 404, whatever comes
// with it; 400 is what servers say that took it for a session id that is missing.
// A client begins anew on 404 alone, and would repeat the others for ever.
func (b *Broker) sessionOver(c *call, resp *http.Response) bool {
	switch resp.StatusCode {
	case http.StatusNotFound:
		code, _ := errorIn(b.peek(c, resp))
		return code != mcp.CodeMethodNotFound // some servers say that under 404, in a session that goes on
	case http.StatusBadRequest:
		code, text := errorIn(b.peek(c, resp))
		return slices.Contains([]int{0, -32000, -32001, mcp.CodeInvalidRequest}, code) && saysUnknownSession(text)
	}
	return false
}

// saysUnknownSession reports whether an error's text is of those that servers
// have for a session which they do not know: server-everything and the examples
// of the TypeScript SDK, its transport, the Python SDK, mcp-go, and some that
// copied them. The text must begin with it: "browser session not found" is a
// tool's.
func saysUnknownSession(text string) bool {
	text = strings.ToLower(text)
	for _, before := range [...]string{"bad request: ", "not found: "} {
		text = strings.TrimPrefix(text, before)
	}
	return slices.ContainsFunc([]string{
		"no valid session id", "session not found", "session id not found", "invalid session id", "invalid or expired session id",
		"unknown session", "unknown mcp-session-id", "session terminated", "session has been terminated", "server not initialized",
	}, func(said string) bool { return strings.HasPrefix(text, said) })
}

// longestError is how much of an answer is read to find what it says.
const longestError = 4 << 10

// errorIn returns the code and text of the JSON-RPC error in an answer's body.
// A text that is no JSON is its own, under code 0.
func errorIn(body []byte) (code int, text string) {
	var m struct {
		Error struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return 0, string(body)
	}
	return m.Error.Code, m.Error.Message
}

// peek returns the whole of a short answer's body, which can be read again all
// the same, and nothing of another's. The call may be cut while it waits.
func (b *Broker) peek(c *call, resp *http.Response) []byte {
	if isStream(resp) || resp.ContentLength > longestError {
		return nil
	}
	defer b.streams.add(c)()
	head, err := io.ReadAll(io.LimitReader(resp.Body, longestError+1))
	resp.Body = peeked{io.MultiReader(bytes.NewReader(head), resp.Body), resp.Body}
	if err != nil || len(head) > longestError {
		return nil
	}
	return head
}

// peeked is a body whose beginning was read.
type peeked struct {
	io.Reader
	io.Closer
}
