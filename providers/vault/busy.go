package vault

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"mintmark/internal/fault"
	"mintmark/providers"
)

// heeding looks for what the API's library drops: how long a busy Vault wants
// to be left alone.
type heeding struct{ next http.RoundTripper }

// RoundTrip does one exchange. It returns a busy error for an answer that says
// when to ask again.
func (h heeding) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := h.next.RoundTrip(r)
	if err != nil || (answer.StatusCode != http.StatusTooManyRequests && answer.StatusCode != http.StatusServiceUnavailable) {
		return answer, err
	}
	seconds, err := strconv.ParseUint(answer.Header.Get("Retry-After"), 10, 31)
	if err != nil { // none, or a date, which is another clock's
		return answer, nil
	}
	_ = answer.Body.Close()
	return nil, busy{answer.StatusCode, time.Duration(seconds) * time.Second}
}

// busy is an answer that says when to ask again.
type busy struct {
	status int
	wait   time.Duration
}

// Error says what came.
func (b busy) Error() string { return b.explain().Error() }

func (b busy) explain() *fault.Error {
	hint := notReady
	if b.status == http.StatusTooManyRequests {
		hint = limited
	}
	return fault.Wrap("lease", fault.Unavailable, hint, fmt.Errorf("vault answered with status %d, and %w", b.status, providers.RetryAfter(b.wait)))
}
