package connect

import (
	"context"
	"errors"
	"io"
)

// SkimID feeds pieces of a message that can't be read and returns the id to
// answer it under, or nil.
func SkimID(pieces ...[]byte) []byte {
	s := new(skim)
	for _, p := range pieces {
		s.feed(p)
	}
	return s.request()
}

// Event is a server-sent event.
type Event struct{ Name, Data, ID string }

// Events reads all events of r.
func Events(r io.Reader, limit int) (list []Event, err error) {
	for s := newEvents(r, limit); ; {
		e, err := s.next()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return list, err
		}
		list = append(list, Event{e.name, string(e.data), e.id})
	}
}

// OneLine returns a message without newlines.
func OneLine(message []byte) ([]byte, error) { return oneLine(message) }

// KeyOf returns what ids of the same request have in common.
func KeyOf(id []byte) string { return keyOf(id) }

// Identify asks the Workload API who this program is.
func Identify(ctx context.Context, o Options) error {
	_, err := newIdentity(o).get(ctx)
	return err
}

// Explain returns what is said of an error of a request to a broker at socket.
func Explain(ctx context.Context, socket string, err error) error {
	return (&link{address: address{socket: socket}}).explain(ctx, err)
}
