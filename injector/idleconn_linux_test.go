package injector

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"mintmark/broker/audit"
	"mintmark/providers"
)

// sentOnce sends a token once by u, whose connection stays, and returns where in memory
// the header was that carried it, and its length.
func sentOnce(t *testing.T, u *Upstream) (address uintptr, length int) {
	t.Helper()
	_, secret := newHidden()
	lease := lend(t, providers.Token, providers.Material{Token: secret})
	receipt, err := lease.log.Append(t.Context(), &audit.Record{Kind: audit.Decision, Allow: true, Credential: lease.c.ID()})
	if err != nil {
		t.Fatal(err)
	}
	out := &Outgoing{Method: http.MethodGet, URL: u.URL("", "", ""), Header: http.Header{}}
	if _, err := Inject(out, Bearer{}, lease.c, receipt); err != nil {
		t.Fatal(err)
	}
	value := out.Header["Authorization"][0]
	resp, err := u.Send(t.Context(), out, func() error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("got %d, %v", resp.StatusCode, err)
	}
	_ = resp.Body.Close()
	lease.end(t)
	return uintptr(unsafe.Pointer(unsafe.StringData(value))), len(value)
}

// A connection that goes on keeps nothing of a call whose credential has ended: HTTP/2
// would, so as not to send a header twice (RFC 7541, section 2.3.2).
func TestAConnectionKeepsNoHeader(t *testing.T) {
	j := &server{}
	for i, u := range serving(t, j) {
		address, length := sentOnce(t, u)
		mem, err := os.Open("/proc/self/mem")
		if err != nil {
			t.Fatal(err)
		}
		defer mem.Close()
		still := func() bool {
			b := make([]byte, length)
			if _, err := mem.ReadAt(b, int64(address)); err != nil && !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			return bytes.HasPrefix(b, []byte("Bearer "))
		}
		for deadline := time.Now().Add(20 * time.Second); still(); runtime.GC() {
			if time.Now().After(deadline) {
				t.Errorf("HTTP/%d: the lease has ended: the header is still there", i+1)
				break
			}
		}
		again, err := u.Send(t.Context(), &Outgoing{Method: http.MethodGet, URL: u.URL("", "", ""), Header: http.Header{}}, func() error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		_ = again.Body.Close()
	}
	if n := j.connections.Load(); n != 2 {
		t.Errorf("got %d connections, want the first of each for the second call too", n)
	}
}
