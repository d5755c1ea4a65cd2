package oauth

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"golang.org/x/oauth2"

	"mintmark/internal/fault"
	"mintmark/providers"
)

const server = "the authorization server"

var errNotJSON = errors.New("the answer is not JSON")

// explain makes a *fault.Error of an error of the library. It keeps the status
// and a code it knows: the rest is the server's own text, which may quote a
// secret. Shown says by which certificate the client was not known.
func explain(err error, shown string) error {
	if known, ok := errors.AsType[*fault.Error](err); ok {
		return known
	}
	if raw, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		return refused(raw, shown)
	}
	if errors.Is(err, errNotJSON) {
		return fault.Wrap("lease", fault.Unavailable, server+" did not answer with JSON",
			fmt.Errorf("%w, want application/json: is it a token endpoint that answers there?", errNotJSON))
	}
	if _, ok := errors.AsType[*url.Error](err); ok {
		return providers.Unreachable(server, err)
	}
	return fault.Wrap("lease", fault.Unavailable, server+" gave no usable answer",
		errors.New("want JSON with an access_token: is it a token endpoint that answers there?"))
}

// refusal is a token endpoint's no, as much of it as reaches a text.
type refusal struct {
	status int
	code   string
	shown  string
}

func (r refusal) Error() string {
	said := fmt.Sprintf("token endpoint answered with status %d and %s%s", r.status, meaning(r.code), r.shown)
	if r.code == "" && r.shown == "" && r.status >= 400 && r.status < 500 {
		said += ": is it a token endpoint that answers there?"
	}
	if r.code == "" && r.status >= 500 {
		said += ": see the server's own log"
	}
	return said
}

// code returns the error code of a refusal, or "".
func code(err error) string {
	if raw, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		return raw.ErrorCode
	}
	if explained, ok := errors.AsType[refusal](err); ok {
		return explained.code
	}
	return ""
}

func refused(r *oauth2.RetrieveError, shown string) error {
	status := 0
	if r.Response != nil {
		status = r.Response.StatusCode
	}
	said := refusal{status: status}
	if meaning(r.ErrorCode) != meaning("") { // a code of its own could be anything
		said.code = r.ErrorCode
	}
	if said.code == "invalid_client" || said.code == "" { // "": whatever ends TLS before the server
		said.shown = shown
	}
	cause := wait(said, r.Response)
	switch {
	case status == http.StatusTooManyRequests:
		return fault.Wrap("lease", fault.Unavailable, server+" limits how often the broker may ask", cause)
	case status >= 500, r.ErrorCode == "temporarily_unavailable":
		return fault.Wrap("lease", fault.Unavailable, server+" could not issue a token", cause)
	}
	return fault.Wrap("lease", fault.Internal, "the credential provider refused the broker", cause)
}

// wait adds how long the server wants to be left alone, where it says so in seconds.
func wait(cause error, answer *http.Response) error {
	if answer == nil {
		return cause
	}
	seconds, err := strconv.ParseUint(answer.Header.Get("Retry-After"), 10, 32)
	if err != nil {
		return cause
	}
	return fmt.Errorf("%w, and %w", cause, providers.RetryAfter(time.Duration(seconds)*time.Second))
}

// meaning returns our own words for the error codes of RFC 6749, section 5.2,
// RFC 8707, RFC 9449 and RFC 8693.
func meaning(code string) string {
	switch code {
	case "invalid_client":
		return "invalid_client: compare client_id and how the client authenticates"
	case "unauthorized_client":
		return "unauthorized_client: the client may not use this grant"
	case "invalid_grant":
		return "invalid_grant: the token or assertion that was shown is not taken, or not any more"
	case "invalid_scope":
		return "invalid_scope: compare scopes"
	case "invalid_target":
		return "invalid_target: compare resource and audience"
	case "unsupported_grant_type":
		return "unsupported_grant_type: the server does not know this grant"
	case "use_dpop_nonce":
		return "use_dpop_nonce: the server wants another nonce than the one it gave"
	case "invalid_dpop_proof":
		return "invalid_dpop_proof: compare the clocks"
	case "access_denied":
		return "access_denied: compare what the server permits this client"
	case "invalid_request":
		return "invalid_request: compare the grant, and what it needs at this server"
	case "server_error", "temporarily_unavailable":
		return code + ": see the server's own log"
	}
	return "no error code that OAuth knows"
}
