package providertest_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"mintmark/providers/internal/providertest"
)

// said is a test that notes what it fails for.
type said struct {
	testing.TB
	faults []string
}

func (*said) Helper() {}

func (s *said) Errorf(format string, args ...any) {
	s.faults = append(s.faults, fmt.Sprintf(format, args...))
}

// What compares must be able to fail: of each part that differs, and of each reason
// that is given for none.
func TestSame(t *testing.T) {
	t.Parallel()
	ours := providertest.Sent{"method": "POST", "form scope": "read", "header User-Agent": "ours"}
	for name, tt := range map[string]struct {
		change func(theirs providertest.Sent)
		differ map[string]string
		want   string // part
	}{
		"the same":                    {func(providertest.Sent) {}, nil, ""},
		"the library's own":           {func(s providertest.Sent) { s["header User-Agent"] = "theirs" }, nil, ""},
		"another value":               {func(s providertest.Sent) { s["form scope"] = "write" }, nil, "form scope"},
		"another value, for a reason": {func(s providertest.Sent) { s["form scope"] = "write" }, map[string]string{"form scope": "x"}, ""},
		"one more":                    {func(s providertest.Sent) { s["form more"] = "" }, nil, "form more"},
		"one less":                    {func(s providertest.Sent) { delete(s, "form scope") }, nil, "form scope"},
		"a reason for nothing":        {func(providertest.Sent) {}, map[string]string{"form scope": "x"}, "form scope"},
		"a reason for what neither":   {func(providertest.Sent) {}, map[string]string{"form gone": "x"}, "form gone"},
	} {
		theirs, noted := maps.Clone(ours), &said{TB: t}
		tt.change(theirs)
		providertest.Same(noted, ours, theirs, tt.differ)
		if got := strings.Join(noted.faults, "\n"); (got == "") != (tt.want == "") || !strings.HasPrefix(got, tt.want) || len(noted.faults) > 1 {
			t.Errorf("%s: got %q, want a fault of %q alone", name, noted.faults, tt.want)
		}
	}
}

// Each part of a request has a name, and none is left out.
func TestCapture(t *testing.T) {
	t.Parallel()
	c := providertest.NewCapture(t, providertest.Answer(200, "application/json", "{}"))
	send := func(kind, body string) providertest.Sent {
		t.Helper()
		resp, err := client(t, c).Post(c.URL+"/a%2Fb?q=1&q=2", kind, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("got %d, %v, want the handler's answer", resp.StatusCode, err)
		}
		sent := c.Take(t, 1)[0]
		maps.DeleteFunc(sent, func(name, _ string) bool {
			return name != "header Content-Type" && strings.HasPrefix(name, "header ") && !strings.Contains(name, "charset")
		})
		delete(sent, "host")
		return sent
	}
	for kind, tt := range map[string]struct {
		body string
		want providertest.Sent
	}{
		"application/json; charset=utf-8":   {`{"a":[1,{}]}`, providertest.Sent{"header Content-Type; charset": "utf-8", "json {}": "", "json .a[]": "2", "json .a[0]": "1", "json .a[1]{}": ""}},
		"application/x-www-form-urlencoded": {"a=1&a=2", providertest.Sent{"form a": "1", "form a, 1 more": "2"}},
		"text/plain":                        {"a", providertest.Sent{"body": "a"}},
	} {
		maps.Copy(tt.want, providertest.Sent{"method": "POST", "path": "/a%2Fb", "query q": "1", "query q, 1 more": "2", "header Content-Type": strings.Split(kind, ";")[0]})
		if got := send(kind, tt.body); !maps.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v", kind, parts(got), parts(tt.want))
		}
	}
}

// client trusts what vouches for c, as a provider does.
func client(t *testing.T, c *providertest.Capture) *http.Client {
	t.Helper()
	roots, err := os.ReadFile(c.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(roots)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func parts(s providertest.Sent) (all []string) {
	for _, name := range slices.Sorted(maps.Keys(s)) {
		all = append(all, name+": "+s[name])
	}
	return all
}
