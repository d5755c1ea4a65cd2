package oauth

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"golang.org/x/oauth2"

	"mintmark/internal/fault"
	"mintmark/providers"
)

const server = "the authorization server"

var errNotJSON = errors.New("the answer is not JSON")

// explain makes a *fault.Error of an error of the library. It keeps the status
// and a code it knows: the rest is the server's own text, which may quote a
// secret.
func explain(err error) error {
	if refusal, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		return refused(refusal)
	}
	if errors.Is(err, errNotJSON) {
		return fault.Wrap("lease", fault.Unavailable, server+" did not answer with JSON", errNotJSON)
	}
	if _, ok := errors.AsType[*url.Error](err); ok {
		return providers.Unreachable(server, err)
	}
	return fault.New("lease", fault.Unavailable, server+" gave no usable answer")
}

func refused(r *oauth2.RetrieveError) error {
	status := 0
	if r.Response != nil {
		status = r.Response.StatusCode
	}
	cause := fmt.Errorf("token endpoint answered with status %d and %s", status, meaning(r.ErrorCode))
	switch {
	case status == http.StatusTooManyRequests:
		return fault.Wrap("lease", fault.Unavailable, server+" limits how often the broker may ask", cause)
	case status >= 500, r.ErrorCode == "temporarily_unavailable":
		return fault.Wrap("lease", fault.Unavailable, server+" could not issue a token", cause)
	}
	return fault.Wrap("lease", fault.Internal, "the credential provider refused the broker", cause)
}

// meaning returns our own words for the error codes of RFC 6749, section 5.2,
// and RFC 8707.
func meaning(code string) string {
	switch code {
	case "invalid_client":
		return "invalid_client: compare client_id, client_secret and auth_style"
	case "unauthorized_client":
		return "unauthorized_client: the client may not use client_credentials"
	case "invalid_scope":
		return "invalid_scope: compare scopes"
	case "invalid_target":
		return "invalid_target: compare resource"
	case "invalid_request", "invalid_grant", "unsupported_grant_type", "access_denied", "server_error", "temporarily_unavailable":
		return code
	}
	return "no error code that OAuth knows"
}
