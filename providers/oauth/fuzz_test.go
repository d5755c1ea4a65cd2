package oauth_test

import (
	"testing"

	"mintmark/providers"
	"mintmark/providers/internal/providertest"
)

// Whatever a token endpoint answers, there is a credential with an end, or an
// error that quotes nothing.
func FuzzAnswer(f *testing.F) {
	f.Add(200, "application/json", []byte(`{"access_token":"a","token_type":"Bearer","expires_in":60}`))
	f.Add(200, "application/json", []byte(`{"access_token":"a","token_type":"Bearer","expires_in":1e400}`))
	f.Add(200, "application/json", []byte(`{"access_token":"a","token_type":"Bearer","expires_in":"-1","scope":["x"]}`))
	f.Add(400, "application/json", []byte(`{"error":"invalid_client"}`))
	f.Add(200, "text/plain", []byte(`access_token=a`))
	f.Fuzz(func(t *testing.T, status int, kind string, body []byte) {
		if status < 200 || status > 599 {
			return
		}
		c, err := open(t, serve(t, answer(status, kind, string(body))), providers.Env{}).Mint(t.Context(), providers.Request{})
		if err == nil && c.NotAfter().IsZero() {
			t.Error("got a token without an end")
		}
		hidden := ""
		if len(body) > 16 {
			hidden = string(body)
		}
		providertest.CheckAnswer(t, c, err, hidden)
	})
}
