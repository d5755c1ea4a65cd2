package injector

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
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

// A server of TLS 1.3 that does not take what it is shown says so when the call was written: no
// answer is read then, and the record has why. Which of its errors net/http returns, that one or
// one of the write, depends on what comes first.
func TestAnAlertInPlaceOfAnAnswer(t *testing.T) {
	alert := &net.OpError{Op: "remote error", Err: tls.AlertError(42)}
	for _, tt := range []struct {
		err  error
		hint string
		why  string
	}{
		{alert, "the upstream's answer could not be read; it may have carried the call out", "it ended TLS with an alert, as it does when it does not take the certificate that it is shown"},
		{syscall.EPIPE, "the upstream's answer could not be read; it may have carried the call out", ""},
		{os.ErrDeadlineExceeded, late, ""},
	} {
		err := sendError(t.Context(), tt.err)
		if _, silent := errors.AsType[*NoAnswer](err); !silent || fault.KindOf(err) != fault.BadUpstream || fault.HintOf(err) != tt.hint || fault.WhyOf(err) != tt.why || !errors.Is(err, tt.err) {
			t.Errorf("got %v, why %q, want %q and %q", err, fault.WhyOf(err), tt.hint, tt.why)
		}
	}
	if _, silent := errors.AsType[*NoAnswer](errRefusedStream()); silent {
		t.Error("a stream that was refused counts as no answer: it is one")
	}
}
