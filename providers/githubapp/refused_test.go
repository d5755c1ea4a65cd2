package githubapp_test

import (
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mintmark/internal/fault"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
)

// A token that GitHub issued and the broker refuses is good at GitHub: it is on record
// with the reason, and ended there, wherever in the answer it stands.
func TestRefusedTokensAreEnded(t *testing.T) {
	for name, tt := range map[string]struct {
		token, answer string
		kind          fault.Kind
		reason        string
	}{
		"no end":                 {token, `{"token":"TOKEN"}`, fault.Internal, "without an end"},
		"an end that is none":    {token, `{"token":"TOKEN","expires_at":"soon"}`, fault.Internal, "without an end"},
		"the end is empty":       {token, `{"token":"TOKEN","expires_at":""}`, fault.Internal, "without an end"},
		"the end comes first":    {token, `{"expires_at":"soon","token":"TOKEN"}`, fault.Internal, "without an end"},
		"the end is a number":    {token, `{"expires_at":3600,"token":"TOKEN"}`, fault.Internal, "without an end"},
		"permissions are a list": {token, `{"permissions":["contents"],"token":"TOKEN","expires_at":"END"}`, fault.Internal, "without permissions that can be read"},
		"a level is no text":     {token, `{"permissions":{"contents":1},"token":"TOKEN","expires_at":"END"}`, fault.Internal, "without permissions that can be read"},
		"cut off":                {token, `{"token":"TOKEN","expires_at":"END"`, fault.Unavailable, "no usable answer"},
		"more comes after it":    {token, `{"token":"TOKEN","expires_at":"END"} {}`, fault.Unavailable, "no usable answer"},
		"the connection ends":    {token, `{"token":"TOKEN","expires_at":"END"}`, fault.Unavailable, "no usable answer"},
		"megabytes follow":       {token, `{"token":"TOKEN","expires_at":"END","x":"` + strings.Repeat("x", 2<<20) + `"}`, fault.Unavailable, "more than 1048576 bytes"},
		"has ended already":      {token, `{"token":"TOKEN","expires_at":"2020-01-01T00:00:00Z"}`, fault.Unavailable, "already ended"},
		"too long":               {"ghs_" + strings.Repeat("c4nary-", 10_000), `{"token":"TOKEN","expires_at":"END"}`, fault.Internal, "expected at most 65536"},
		"one letter repeated":    {strings.Repeat("c", 100), `{"token":"TOKEN","expires_at":"END"}`, fault.Internal, "begins anew"},
	} {
		t.Run(name, func(t *testing.T) {
			var ended atomic.Int64
			key, _ := appKey(t)
			answer := strings.NewReplacer("TOKEN", tt.token, "END", time.Now().Add(time.Hour).UTC().Format(time.RFC3339)).Replace(tt.answer)
			r := providertest.One(t, open(t, config(t, key, http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
				if q.Method == http.MethodDelete && q.Header.Get("Authorization") == "Bearer "+tt.token {
					ended.Add(1)
					w.WriteHeader(http.StatusNoContent)
					return
				}
				length := len(answer)
				if name == "the connection ends" {
					length++
				}
				providertest.Answer(201, "application/json", answer, "Content-Length", strconv.Itoa(length))(w, q)
			}))), tt.token)
			r.Refused(t, providers.Request{}, tt.kind)
			r.Stop(t)
			if got := r.Events(t); got != "mint_failed revoke" || ended.Load() != 1 {
				t.Errorf("events: got %q and %d ends, want it ended on record", got, ended.Load())
			}
			if got := r.Records(t)[0]; got.Credential == "" || got.Fingerprint == "" || !strings.Contains(got.Reason, tt.reason) {
				t.Errorf("got the record %+v, want the token that was issued on it, and %q", got, tt.reason)
			}
		})
	}
}
