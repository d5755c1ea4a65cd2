package providertest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mintmark/internal/fault"
	"mintmark/providers"
)

// Canary is what Refusals hides in every answer.
const Canary = "canary-5f1d7c-secret"

// Refusals runs the provider that open returns against a system that answers as no
// good one does, and demands that each mint fails with the right kind and hint and
// that nothing of the answer is told. System is the system's name in hints.
func Refusals(t *testing.T, system string, open func(t *testing.T, system http.Handler) providers.Provider) {
	t.Helper()
	elsewhere := atomic.Int64{}
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	const refused = "the credential provider refused the broker"
	tests := map[string]struct {
		handler http.HandlerFunc
		kind    fault.Kind
		hint    string
	}{
		"400":                  {Answer(400, "application/json", `{"error":"`+Canary+`"}`), fault.Internal, refused},
		"401":                  {Answer(401, "application/json", `{"message":"`+Canary+`"}`), fault.Internal, refused},
		"403":                  {Answer(403, "text/html", Canary), fault.Internal, refused},
		"403 that is a limit":  {Answer(403, "text/plain", Canary, "Retry-After", "7"), fault.Unavailable, system + " limits how often the broker may ask"},
		"404":                  {Answer(404, "application/json", `"`+Canary), fault.Internal, refused},
		"429":                  {Answer(429, "application/json", `{}`, "Retry-After", "30"), fault.Unavailable, system + " limits how often the broker may ask"},
		"429 with another why": {Answer(429, "application/json", `{}`, "Retry-After", Canary), fault.Unavailable, system + " limits how often the broker may ask"},
		"500":                  {Answer(500, "text/plain", Canary), fault.Unavailable, system + " could not serve the broker"},
		"503":                  {Answer(503, "application/json", `{"error":"`+Canary+`"}`), fault.Unavailable, system + " could not serve the broker"},
		"a page":               {Answer(200, "text/html", Canary), fault.Unavailable, system + " did not answer with JSON"},
		"broken JSON":          {Answer(200, "application/json", `{"token":"`+Canary), fault.Unavailable, system + " gave no usable answer"},
		"another JSON":         {Answer(200, "application/json", `["`+Canary+`"]`), fault.Unavailable, system + " gave no usable answer"},
		"a name twice":         {Answer(200, "application/json", `{"`+Canary+`":0,"`+Canary+`":1}`), fault.Unavailable, system + " gave no usable answer"},
		"too much":             {Answer(200, "application/json", `"`+strings.Repeat(Canary, 1<<16)+`"`), fault.Unavailable, system + " answered with more than 1048576 bytes"},
		"too much of an error": {Answer(400, "application/json", strings.Repeat(Canary, 1<<16)), fault.Unavailable, system + " answered with more than 1048576 bytes"},
		"a redirect":           {Answer(307, "text/plain", Canary, "Location", other.URL), fault.Unavailable, system + " answered with a redirect, which is not followed"},
		"nothing":              {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, fault.Unavailable, system + " gave no usable answer"},
	}
	for name, tt := range tests {
		t.Run("answered with "+name, func(t *testing.T) {
			r := One(t, open(t, tt.handler), Canary)
			defer r.Stop(t)
			if hint := r.Refused(t, providers.Request{}, tt.kind); hint != tt.hint {
				t.Errorf("hint: got %q, want %q", hint, tt.hint)
			}
			r.Names(t, ": asked POST http://127.0.0.1:")
		})
	}
	t.Run("answered with an empty object", func(t *testing.T) {
		c, err := open(t, Answer(200, "application/json", `{}`)).Mint(t.Context(), providers.Request{})
		if err == nil {
			t.Error("got a credential, want an error")
		}
		CheckAnswer(t, c, err, Canary)
	})
	t.Run("says how long to wait", func(t *testing.T) {
		for _, status := range []int{403, 429, 503} {
			_, err := open(t, Answer(status, "text/plain", "", "Retry-After", "30")).Mint(t.Context(), providers.Request{})
			if asked, ok := errors.AsType[providers.RetryAfter](err); !ok || time.Duration(asked) != 30*time.Second {
				t.Errorf("%d: got %v, want the seconds of Retry-After", status, err)
			}
		}
	})
	t.Run("answered with what was asked", func(t *testing.T) {
		var asked string
		echo := func(w http.ResponseWriter, r *http.Request) {
			dump, err := httputil.DumpRequest(r, true)
			if err != nil {
				t.Errorf("dump: %v", err)
			}
			asked = r.Header.Get("Authorization") + string(dump[max(0, len(dump)-200):])
			Answer(400, "application/json", string(dump), "X-Echo", r.Header.Get("Authorization"))(w, r)
		}
		_, err := open(t, http.HandlerFunc(echo)).Mint(t.Context(), providers.Request{})
		if err == nil || asked == "" {
			t.Fatalf("got %v for %q, want a request and an error", err, asked)
		}
		for word := range strings.FieldsFuncSeq(asked, func(r rune) bool { return strings.ContainsRune(" \"=&\r\n", r) }) {
			if len(word) >= 16 && strings.Contains(err.Error(), word) {
				t.Errorf("a part of the request is in the error: %v", err)
			}
		}
	})
	if n := elsewhere.Load(); n != 0 {
		t.Errorf("redirects: got %d requests where they lead, want none", n)
	}
}

// Answer returns a handler with one answer; header is names and values in turn.
func Answer(status int, kind, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Www-Authenticate", `Bearer error_description="`+Canary+`"`)
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, body)
	}
}

// Self is a broker's identity of which each JWT-SVID is "svid-for-AUDIENCE".
type Self struct {
	NoX509SVID

	Err error
}

// JWTSVID returns a text in the place of one.
func (s Self) JWTSVID(_ context.Context, audience string) (string, error) {
	return "svid-for-" + audience, s.Err
}

// Serve starts a server of handler and returns its URL.
func Serve(t testing.TB, handler http.Handler) string {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.URL
}
