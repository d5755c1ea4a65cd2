package broker

import "net/http"

// Handler returns what serves the listener with the given index.
func (b *Broker) Handler(i int) http.Handler { return b.listeners[i].server.Handler }

// Waiting returns how many calls are under way.
func (b *Broker) Waiting() int { return len(b.slots) }

// DropIdle closes the connections to upstreams that no call uses.
func (b *Broker) DropIdle() {
	for _, u := range b.current.Load().upstreams {
		u.send.Close()
	}
}
