package providers_test

import (
	"errors"
	"io"
	"testing"

	"mintmark/internal/fault"
	"mintmark/providers"
)

// What was asked is for the operator, without what can be a secret, and once.
func TestAskedNamesTheRequestAndNoSecret(t *testing.T) {
	refused := fault.Wrap("lease", fault.Internal, "no", io.EOF)
	for name, tt := range map[string]struct {
		method, address string
		err             error
		want            string
	}{
		"a request":             {"POST", "https://idp.example:8443/a%2Fb/token", refused, "lease: no: asked POST https://idp.example:8443/a%2Fb/token: EOF"},
		"a client's error":      {"Post", "https://idp.example/token", refused, "lease: no: asked POST https://idp.example/token: EOF"},
		"no cause":              {"GET", "https://idp.example", fault.New("lease", fault.Internal, "no"), "lease: no: asked GET https://idp.example"},
		"secrets":               {"GET", "https://u:" + canary + "@idp.example/x?key=" + canary + "#" + canary, refused, "lease: no: asked GET https://idp.example/x: EOF"},
		"named already":         {"GET", "https://b.example/", providers.Asked("PUT", "https://a.example/", refused), "lease: no: asked PUT https://a.example/: EOF"},
		"no address":            {"GET", "://" + canary, refused, "lease: no: EOF"},
		"an error of no system": {"GET", "https://idp.example", io.EOF, "EOF"},
	} {
		got := providers.Asked(tt.method, tt.address, tt.err)
		if got.Error() != tt.want || !errors.Is(got, io.EOF) && name != "no cause" || fault.HintOf(got) != fault.HintOf(tt.err) || fault.KindOf(got) != fault.KindOf(tt.err) {
			t.Errorf("%s: got %q, want %q of the same kind, hint and cause", name, got, tt.want)
		}
	}
	if err := providers.Asked("GET", "https://idp.example", nil); err != nil {
		t.Errorf("no error: got %v", err)
	}
}
