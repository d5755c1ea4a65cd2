package http1

import (
	"net"
	"testing"
	"time"
)

// A look that was due in the request before and comes late is the only one of this.
func TestNoTwoLookAtOnce(t *testing.T) {
	ours, theirs := net.Pipe()
	defer func() { _ = theirs.Close() }()
	p := newPeer(&Server{}, ours)
	p.watch.armed = true
	looked := make(chan struct{})
	go func() {
		p.watch.look()
		close(looked)
	}()
	if _, err := theirs.Write([]byte("a")); err != nil { // taken: it reads
		t.Fatal(err)
	}
	<-looked
	p.watch.reading = true // as while it reads
	late := make(chan struct{})
	go func() {
		p.watch.look()
		close(late)
	}()
	_ = theirs.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := theirs.Write([]byte("b")); err == nil {
		t.Error("a second one reads too")
	}
	<-late
	p.watch.reading = false
	p.watch.stop()
	if got := string(p.in.buffered()); got != "a" {
		t.Errorf("got %q for the next request, want a", got)
	}
}
