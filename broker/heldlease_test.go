package broker_test

import (
	"net/http"
	"testing"
)

// A stream that an agent keeps open keeps no credential of another registration.
func TestAStreamKeepsNoLeaseOfWhatChanged(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.wantOK(w.call(to("/mcp/database")), "")
	w.upstream.does(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "text/event-stream")
		_, _ = rw.Write([]byte(": hello\n\n"))
		_ = http.NewResponseController(rw).Flush()
		<-r.Context().Done()
	})
	x := w.begin(w.call(to("/mcp/open")))
	if x.resp.StatusCode != http.StatusOK {
		t.Fatalf("got %d, want a stream", x.resp.StatusCode)
	}
	if err := w.change("mintmark.yaml", "database: {role: orders}", "database: {role: orders-2}"); err != nil {
		t.Fatal(err)
	}
	w.await("the revocation of the old lease", func() bool { return len(w.issuer.revocations()) > 0 })
	_ = x.conn.Close() // else the end waits for it
}
