// Package jsonhttp asks a system that issues credentials for JSON over HTTP. Of
// what comes back, an error holds the status and our own words, because an answer
// can quote the secret that it was asked with.
package jsonhttp

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"mintmark/internal/fault"
	"mintmark/providers"
)

// Client asks one system.
type Client struct {
	// System is what hints call the other side: "github".
	System string
	// HTTP is a client of providers.HTTPClient, which bounds time and size and
	// follows no redirect.
	HTTP *http.Client
	// Explain returns what an operator compares after a refusal, in words that hold
	// nothing of the answer; "" where there is nothing to say. Nil says nothing.
	Explain func(status int, answer []byte) string
	// Gone are statuses that are as good as success where no answer is wanted: what
	// was to be ended has ended.
	Gone []int
}

// Form returns a POST of a form.
func Form(ctx context.Context, to string, form url.Values) (*http.Request, error) {
	return request(ctx, http.MethodPost, to, "application/x-www-form-urlencoded", []byte(form.Encode()))
}

// JSON returns a POST of body as JSON.
func JSON(ctx context.Context, to string, body any) (*http.Request, error) {
	content, err := json.Marshal(body)
	if err != nil {
		return nil, fault.New("lease", fault.Internal, "the broker cannot write its request to the credential provider")
	}
	return request(ctx, http.MethodPost, to, "application/json", content)
}

// Delete returns a DELETE.
func Delete(ctx context.Context, to string) (*http.Request, error) {
	return request(ctx, http.MethodDelete, to, "", nil)
}

func request(ctx context.Context, method, to, kind string, content []byte) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, method, to, bytes.NewReader(content))
	if err != nil {
		return nil, fault.New("lease", fault.Internal, "the broker cannot write its request to the credential provider")
	}
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "mintmark")
	return r, nil
}

// Do sends r and reads the JSON of a good answer into answer; where that is nil, a good
// answer is 204. Names are matched exactly, and one given twice is refused. An error is a
// *fault.Error, whose cause names what was asked; of an answer with a good status that can't
// be read to its end, answer has what came before.
func (c Client) Do(r *http.Request, answer any) error {
	return providers.Asked(r.Method, r.URL.String(), c.do(r, answer))
}

func (c Client) do(r *http.Request, answer any) error {
	response, err := c.HTTP.Do(r) //nolint:gosec // G704: where to is what the operator registered
	if err != nil {
		return providers.Unreachable(c.System, err)
	}
	defer func() { _ = response.Body.Close() }() // read only: nothing to lose
	content, err := io.ReadAll(response.Body)
	if err != nil {
		if answer != nil && response.StatusCode >= 200 && response.StatusCode <= 299 {
			_ = json.Unmarshal(content, answer) // what came before the end of it was issued all the same
		}
		return providers.Unreachable(c.System, err)
	}
	if answer == nil && slices.Contains(c.Gone, response.StatusCode) {
		return nil
	}
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return c.refused(response, content)
	}
	if answer == nil && response.StatusCode == http.StatusNoContent {
		return nil
	}
	if answer == nil { // a page of whatever stands before the system, as it may be
		return fault.Wrap("lease", fault.Unavailable, c.System+" gave no usable answer", fmt.Errorf(
			"%s answered with status %d, want 204: is it this system that answers there?", c.System, response.StatusCode))
	}
	if kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type")); kind != "application/json" {
		return fault.Wrap("lease", fault.Unavailable, c.System+" did not answer with JSON", fmt.Errorf(
			"%s answered with status %d and %s, want application/json: is it this system that answers there?", c.System, response.StatusCode, shown(kind)))
	}
	if json.Unmarshal(content, answer) != nil { // its error can quote the answer
		return fault.Wrap("lease", fault.Unavailable, c.System+" gave no usable answer", fmt.Errorf(
			"%s answered with status %d and %d bytes that are not the JSON of this answer: is it this system that answers there?", c.System, response.StatusCode, len(content)))
	}
	return nil
}

// shown returns a media type for a message: one of those that a wrong system answers
// with, or that it is another, as a server could write a secret there.
func shown(media string) string {
	switch media {
	case "":
		return "no Content-Type"
	case "text/html", "text/plain", "application/xml", "text/xml", "application/json", "application/octet-stream", "application/jwt", "application/x-www-form-urlencoded":
		return media
	}
	return "another Content-Type"
}

// refused says what a status means. An agent can mend none of them: what is not
// an outage is the broker's own configuration.
func (c Client) refused(response *http.Response, content []byte) error {
	cause := fmt.Errorf("%s answered with status %d%s", c.System, response.StatusCode, c.explain(response.StatusCode, content))
	switch status := response.StatusCode; {
	case status == http.StatusTooManyRequests, status == http.StatusForbidden && limited(response.Header):
		return fault.Wrap("lease", fault.Unavailable, c.System+" limits how often the broker may ask", wait(cause, response.Header))
	case status >= 500, status == http.StatusRequestTimeout:
		return fault.Wrap("lease", fault.Unavailable, c.System+" could not serve the broker", wait(cause, response.Header))
	}
	return fault.Wrap("lease", fault.Internal, "the credential provider refused the broker", cause)
}

// explain says what to look at next.
func (c Client) explain(status int, content []byte) string {
	words := ""
	if c.Explain != nil {
		words = c.Explain(status, content)
	}
	switch {
	case words != "":
		return ": " + words
	case status >= 500:
		return ": see its own log"
	}
	return ""
}

// limited reports whether a 403 means too many requests, as GitHub's can.
func limited(h http.Header) bool {
	return h.Get("Retry-After") != "" || h.Get("X-Ratelimit-Remaining") == "0"
}

// wait adds how long the system wants to be left alone, where it says so in seconds.
func wait(cause error, h http.Header) error {
	seconds, err := strconv.ParseUint(strings.TrimSpace(h.Get("Retry-After")), 10, 32)
	if err != nil {
		return cause
	}
	return fmt.Errorf("%w, and %w", cause, providers.RetryAfter(time.Duration(seconds)*time.Second))
}
