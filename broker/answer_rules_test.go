package broker_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
)

// answerRules says of every header which agents get it: those that call by MCP, and
// those that call an API. What is not named reaches nobody.
func answerRules() map[string]struct{ mcp, plain bool } {
	both, plain, none := struct{ mcp, plain bool }{true, true}, struct{ mcp, plain bool }{false, true}, struct{ mcp, plain bool }{}
	m := map[string]struct{ mcp, plain bool }{}
	for _, name := range []string{"Content-Type", "Cache-Control", "Retry-After", "Allow", "Location", "Mcp-Protocol-Version"} {
		m[name] = both
	}
	for _, name := range []string{
		"Etag", "Last-Modified", "Content-Range", "Accept-Ranges", "Content-Disposition", "Content-Language", "Expires", "Vary", "Link",
	} {
		m[name] = plain
	}
	for _, name := range []string{
		"Set-Cookie", "Set-Cookie2", "Clear-Site-Data", // a session there is the broker's
		"Www-Authenticate", "Proxy-Authenticate", "Optional-Www-Authenticate", "Authentication-Info", "Proxy-Authentication-Info", "Authentication-Control",
		"Dpop-Nonce", "Signature", "Signature-Input", "Accept-Signature", // who answers them is the broker
		"X-Amz-Security-Token", "X-Amz-Request-Id", "X-Amz-Id-2", "X-Amzn-Requestid", "X-Amzn-Errortype", "X-Amz-Cf-Id", "X-Goog-Hash", "X-Ms-Request-Id",
		"Authorization", "Cookie", "X-Api-Key", "X-Auth-Token", "X-Subject-Token", "X-Vault-Token", "X-Csrf-Token", "X-Session-Id", // an echo, or a login's answer
		"Server", "Via", "X-Powered-By", "X-Request-Id", "X-Debug-Token", "Server-Timing", "Sourcemap", "Nel", "Report-To", "Refresh",
		"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Strict-Transport-Security", "Alt-Svc", "Content-Security-Policy",
		"Trailer", "Upgrade", "Keep-Alive", "Proxy-Connection", "X-Accel-Redirect", "X-Sendfile", "Mcp-Method", "X-Unheard-Of",
	} {
		m[name] = none
	}
	return m
}

// Cookies and challenges are for the broker, which alone holds authority at an
// upstream. That holds for every status, and where no credential is injected too.
func TestWhatOfAnAnswersHeadPasses(t *testing.T) {
	t.Parallel()
	w := open(t)
	for name, rule := range answerRules() {
		for _, status := range []int{200, 302, 403, 407, 500} {
			w.upstream.does(func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header()[name] = []string{"a=1"}
				rw.WriteHeader(status)
			})
			for target, passes := range map[string]bool{"/mcp/orders": rule.mcp, "/mcp/open": rule.mcp, "/http/api/x": rule.plain} {
				call := w.call(to(target))
				if target == "/http/api/x" {
					call = w.call(get(target))
				}
				got := w.do(call)
				if got.status != status || passes != slices.Equal(got.header[name], []string{"a=1"}) || !passes && got.header[name] != nil {
					t.Errorf("%s of a %d at %s: got %d with %q, want it to pass: %t", name, status, target, got.status, got.header[name], passes)
				}
			}
		}
	}
}

// What the broker asks of an agent is its own to say, and not an upstream's.
func TestAChallengeIsTheBrokersOwn(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.upstream.does(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("WWW-Authenticate", `Bearer realm="hostile", resource_metadata="https://hostile.example/"`)
		rw.Header().Set("Set-Cookie", "sid=1")
		rw.WriteHeader(http.StatusUnauthorized)
	})
	for _, target := range []string{"/mcp/orders", "/mcp/open", "/http/api/x"} {
		call := w.call(to(target))
		if target == "/http/api/x" {
			call = w.call(get(target))
		}
		if got := w.do(call); got.header["Www-Authenticate"] != nil || got.header["Set-Cookie"] != nil {
			t.Errorf("%s: got %v", target, got.header)
		}
	}
	stranger := w.call()
	delete(stranger.header, "Authorization")
	if got := w.do(stranger); got.status != 401 || len(got.header["Www-Authenticate"]) == 0 {
		t.Errorf("a stranger: got %d with %s, want the broker's challenge", got.status, fmt.Sprint(got.header))
	}
}
