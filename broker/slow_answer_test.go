package broker_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"mintmark/internal/fault"
	"mintmark/providers"
)

// repeating mints a token that begins anew within itself, as often as a Pool lets it.
type repeating struct{}

func (repeating) Mint(context.Context, providers.Request) (providers.Credential, error) {
	token := strings.Repeat("a", 32) + "Zq83kfjw9ef0zzAxJqAAx0"
	return providers.Seal(providers.Token, providers.Material{Token: providers.NewSecret(token)}, providers.Terms{NotAfter: time.Now().Add(time.Hour)}), nil
}

// An answer that is made to be slow to search is cut, and that is on record. What makes it
// slow is most often the beginning of the secret, which cuts a stream in any case.
func TestAnAnswerThatIsTooSlowToSearchIsCut(t *testing.T) {
	t.Parallel()
	w := open(t, func(s *setup) { s.Minted = map[string]providers.Provider{"repeating": repeating{}} })
	slow := strings.Repeat(`\\u0061`, 10_000)
	w.rewriteOnly("mintmark.yaml", "\nproviders:\n", "\nproviders:\n  repeating: {kind: repeating}\n")
	err := w.change("mintmark.yaml", "\nupstreams:\n", fmt.Sprintf("\nupstreams:\n  slow: {url: \"http://%[1]s/mcp\", credentials: [{provider: repeating, scheme: bearer}]}\n", w.upstream.address))
	if err != nil {
		t.Fatal(err)
	}
	call := func(kind, text, why string) {
		w.upstream.does(func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", kind)
			_, _ = io.WriteString(rw, text)
		})
		got := w.do(w.call(to("/mcp/slow")))
		if strings.Contains(got.body, "after it") {
			t.Errorf("%s: what came after it was given on", kind)
		}
		if r := w.outcome(w.lastAllowed().Call); r.Fault != fault.BadUpstream.String() || !strings.Contains(r.Reason, why) {
			t.Errorf("%s: got %+v, want it cut: %s", kind, r, why)
		}
	}
	call("application/json", `{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"`+slow+` after it"}]}}`, "in good time")
	call("text/event-stream", `data: {"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"`+slow+" after it\"}]}}\n\n", beginningSaid)
}
