//go:build unix

package broker_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A log whose file was taken away, as by logrotate, would be written to what nobody reads.
func TestALogThatWasTakenAwayRefusesCalls(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.wantOK(w.call(), "result")
	segment := filepath.Join(w.logDir(), "00000001.log")
	if err := os.Rename(segment, segment+".1"); err != nil {
		t.Fatal(err)
	}
	w.await("calls to be refused", func() bool { return w.do(w.call()).refusalCode() != 0 })
	reached := w.upstream.taken()
	if got := w.do(w.call()).refusal(t); got.Step != "record" {
		t.Errorf("got %+v, want it refused for want of a log", got)
	}
	ready := httptest.NewRecorder()
	w.broker.Admin().ServeHTTP(ready, httptest.NewRequest(http.MethodGet, "/readyz", nil))
	if said := ready.Body.String(); ready.Code != http.StatusServiceUnavailable || !strings.Contains(said, segment+" was removed or renamed") || !strings.Contains(said, "put back") {
		t.Errorf("/readyz: got %d %q, want which file, what happened and what to do", ready.Code, said)
	}
	if n := w.upstream.taken() - reached; n != 0 {
		t.Errorf("%d calls reached the upstream", n)
	}
	if err := os.Rename(segment+".1", segment); err != nil {
		t.Fatal(err)
	}
	w.await("the log to be written again", func() bool { return w.do(w.call()).refusalCode() == 0 })
	w.wantGap(1)
}
