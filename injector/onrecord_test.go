package injector

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"syscall"
	"testing"

	"mintmark/broker/bundle"
	"mintmark/internal/egress"
	"mintmark/internal/fault"
)

// Why an upstream can't be reached is on record, in words of our own, and not said to an agent.
func TestTheRecordSaysWhyAnUpstreamIsNotReached(t *testing.T) {
	const canary = "canary"
	for name, tt := range map[string]struct {
		cause error
		why   string
	}{
		"refused":    {syscall.ECONNREFUSED, "it refuses connections"},
		"no route":   {syscall.EHOSTUNREACH, "no way leads to its address"},
		"too late":   {context.DeadlineExceeded, "no connection was made in time"},
		"no name":    {&net.DNSError{Err: canary, Name: canary}, "its host name does not resolve"},
		"metadata":   {egress.ErrRefused, "its address is one that is called on no account, such as that of a cloud's metadata"},
		"no TLS":     {tls.RecordHeaderError{Msg: canary}, "it does not speak TLS"},
		"an alert":   {&net.OpError{Op: "remote error", Err: errors.New(canary)}, "it ended TLS with an alert, as it does when it does not take the certificate that it is shown"},
		"what it is": {errors.New(canary), ""},
	} {
		err := notReached(&dialError{tt.cause})
		if fault.HintOf(err) != "the upstream can't be reached" || fault.WhyOf(err) != tt.why || !errors.Is(err, tt.cause) {
			t.Errorf("%s: got the hint %q, why %q, want %q", name, fault.HintOf(err), fault.WhyOf(err), tt.why)
		}
	}
}

// An https url at a port where HTTP is spoken is the most usual of these.
func TestAnUpstreamThatSpeaksNoTLS(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	target, err := url.Parse(strings.Replace(s.URL, "http:", "https:", 1))
	if err != nil {
		t.Fatal(err)
	}
	up, err := OpenUpstream(bundle.Upstream{URL: bundle.URL{URL: target}})
	if err != nil {
		t.Fatal(err)
	}
	defer up.Close()
	resp, err := up.Send(t.Context(), &Outgoing{Method: http.MethodGet, URL: up.URL("", "", ""), Header: http.Header{}}, func() error { return nil })
	if err == nil {
		_ = resp.Body.Close()
	}
	if fault.KindOf(err) != fault.Unavailable || fault.WhyOf(err) != "it does not speak TLS" {
		t.Errorf("got %v, why %q", err, fault.WhyOf(err))
	}
}
