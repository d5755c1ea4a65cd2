package dpop_test

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"mintmark/internal/dpop"
)

func TestNonceOfEachOrigin(t *testing.T) {
	var n dpop.Nonces
	if got := n.For(at(t, "https://as.example/token")); got != "" {
		t.Errorf("got nonce %q before any answer, want none", got)
	}
	keep := func(target, nonce string) {
		t.Helper()
		if !n.Keep(at(t, target), http.Header{"Dpop-Nonce": {nonce}}) {
			t.Errorf("%s: %q was not kept", target, nonce)
		}
	}
	keep("https://as.example/token", "one")
	keep("https://AS.example:443/userinfo?x=1", "two")
	keep("https://as.example:8443/", "other-port")
	keep("http://as.example/", "other-scheme")
	for target, want := range map[string]string{
		"https://as.example/token": "two", "https://as.example:8443/x": "other-port", "http://as.example:80/": "other-scheme", "https://rs.example/": "",
	} {
		if got := n.For(at(t, target)); got != want {
			t.Errorf("%s: got nonce %q, want %q", target, got, want)
		}
	}
}

func TestNonceThatIsNone(t *testing.T) {
	for name, values := range map[string][]string{
		"none": nil, "empty": {""}, "two": {"a", "b"}, "space": {"a b"}, "quote": {`a"b`}, "backslash": {`a\b`}, "control": {"a\x7f"},
		"too long": {strings.Repeat("a", 1025)},
	} {
		var n dpop.Nonces
		target := at(t, "https://as.example/")
		n.Keep(target, http.Header{"Dpop-Nonce": {"before"}})
		if n.Keep(target, http.Header{"Dpop-Nonce": values}) || n.For(target) != "before" {
			t.Errorf("%s: got nonce %q, want the one before", name, n.For(target))
		}
	}
}

func TestNoncesAreBounded(t *testing.T) {
	var n dpop.Nonces
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for j := range 500 {
				target := at(t, "https://"+strconv.Itoa(i)+"."+strconv.Itoa(j)+".example/")
				n.Keep(target, http.Header{"Dpop-Nonce": {"n"}})
			}
		})
	}
	all.Wait()
	held := 0
	for i := range 4 {
		for j := range 500 {
			if n.For(at(t, "https://"+strconv.Itoa(i)+"."+strconv.Itoa(j)+".example/")) != "" {
				held++
			}
		}
	}
	if held != 1024 {
		t.Errorf("got nonces of %d servers, want 1024", held)
	}
}
