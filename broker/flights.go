package broker

import (
	"crypto/rand"
	"sync"

	"mintmark/injector/mcp"
	"mintmark/internal/fault"
)

// errCancelled ends a request that its agent no longer wants.
var errCancelled = fault.New("answer", fault.Unavailable, "the agent cancelled the request")

// flights are the requests under way in the sessions that agents have with the
// broker alone, and what their clients were asked. It holds nothing of a session
// that has no request under way.
type flights struct {
	mu       sync.Mutex
	sessions map[string]*session // by the digest of the handle
}

type session struct {
	calls map[string]*call           // by the agent's id
	asked map[string]chan mcp.Object // by the broker's id; takes one answer
}

// begin puts c under way until the returned func is called. It refuses an id
// that is in use: a cancellation could not tell the two apart. Without a session
// a request is cancelled by leaving it.
func (f *flights) begin(c *call) (leave func(), err error) {
	if c.bridged == nil {
		return func() {}, nil
	}
	digest, id := c.bridged.digest, mcp.IDKey(c.msg.ID)
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.sessions[digest]
	if s == nil {
		s = &session{calls: make(map[string]*call), asked: make(map[string]chan mcp.Object)}
	}
	if s.calls[id] != nil {
		return nil, fault.New("receive", fault.Invalid, "expected an id that no other request under way in this session has")
	}
	if f.sessions == nil {
		f.sessions = make(map[string]*session)
	}
	f.sessions[digest], s.calls[id] = s, c
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if delete(s.calls, id); len(s.calls) == 0 {
			delete(f.sessions, digest)
		}
	}, nil
}

// cancel ends the request under way of this id, if there is one.
func (f *flights) cancel(digest string, id []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.sessions[digest]; s != nil {
		if c := s.calls[mcp.IDKey(id)]; c != nil {
			c.end(errCancelled)
		}
	}
}

// end ends all requests under way of a session.
func (f *flights) end(digest string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.sessions[digest]; s != nil {
		for _, c := range s.calls {
			c.end(errCancelled)
		}
	}
}

// ask returns an id that nobody can guess, and where the answer to it comes,
// until the returned func is called. The session must have a request under way.
func (f *flights) ask(digest string) (id string, answer <-chan mcp.Object, done func()) {
	id = "mintmark-" + rand.Text()
	c := make(chan mcp.Object, 1)
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.sessions[digest]
	s.asked[id] = c
	return id, c, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(s.asked, id)
	}
}

// deliver gives an answer to who asked, once, and reports whether somebody in
// this session did.
func (f *flights) deliver(digest string, id []byte, answer mcp.Object) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.sessions[digest]
	if s == nil {
		return false
	}
	key := mcp.Object{{Name: "id", Value: id}}.Text("id")
	c := s.asked[key]
	if c == nil {
		return false
	}
	delete(s.asked, key)
	c <- answer
	return true
}
