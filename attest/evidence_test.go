package attest_test

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"net/http"
	"strings"
	"testing"

	"mintmark/attest"
)

func TestBearer(t *testing.T) {
	for name, tt := range map[string]struct {
		headers []string
		want    string
		refused string // "": ErrNoEvidence where want is empty too
	}{
		"none":            {},
		"token":           {headers: []string{"Bearer abc"}, want: "abc"},
		"scheme in caps":  {headers: []string{"BEARER abc"}, want: "abc"},
		"scheme in lower": {headers: []string{"bearer abc"}, want: "abc"},
		"two spaces":      {headers: []string{"Bearer  abc"}, want: "abc"},
		"other scheme":    {headers: []string{"Basic YTpi"}},
		"longer scheme":   {headers: []string{"Bearers abc"}},
		"no scheme":       {headers: []string{"abc"}},
		"tab":             {headers: []string{"Bearer\tabc"}},
		"leading space":   {headers: []string{" Bearer abc"}},
		"empty":           {headers: []string{""}},
		"no token":        {headers: []string{"Bearer"}, refused: "got nothing"},
		"blank token":     {headers: []string{"Bearer  "}, refused: "got nothing"},
		"two tokens":      {headers: []string{"Bearer abc, Bearer def"}, refused: "characters that none has"},
		"trailing space":  {headers: []string{"Bearer abc "}, refused: "characters that none has"},
		"control":         {headers: []string{"Bearer a\x00b"}, refused: "characters that none has"},
		"two headers":     {headers: []string{"Bearer abc", "Bearer abc"}, refused: "expected one header, got 2"},
		"two schemes":     {headers: []string{"Basic YTpi", "Bearer abc"}, refused: "expected one header, got 2"},
	} {
		got, err := attest.Bearer(http.Header{"Authorization": tt.headers})
		switch {
		case got != tt.want:
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		case tt.want != "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case tt.want == "" && tt.refused == "" && !errors.Is(err, attest.ErrNoEvidence):
			t.Errorf("%s: got %v, want ErrNoEvidence", name, err)
		case tt.refused != "" && (err == nil || errors.Is(err, attest.ErrNoEvidence) || !strings.Contains(err.Error(), tt.refused)):
			t.Errorf("%s: got %v, want an error with %q", name, err, tt.refused)
		}
	}
}

func TestDigestBearerIsThatOfTheToken(t *testing.T) {
	h := http.Header{"Authorization": {"Bearer abc"}}
	if got, ok := attest.DigestBearer(h, 3); !ok || got != sha256.Sum256([]byte("abc")) {
		t.Errorf("got %x, %v, want the SHA-256 of abc", got, ok)
	}
	if _, ok := attest.DigestBearer(h, 2); ok {
		t.Error("a token longer than the longest: got a digest")
	}
	if _, ok := attest.DigestBearer(http.Header{"Authorization": {"Bearer abc", "Bearer abc"}}, 3); ok {
		t.Error("two headers: got a digest")
	}
}

func TestDigestChainCoversEveryCertificate(t *testing.T) {
	leaf, one, two := &x509.Certificate{Raw: []byte("leaf")}, &x509.Certificate{Raw: []byte("one")}, &x509.Certificate{Raw: []byte("two")}
	seen := map[[sha256.Size]byte]bool{}
	for _, chain := range [][]*x509.Certificate{{leaf}, {leaf, one}, {leaf, two}, {leaf, one, two}} {
		digest := attest.DigestChain(chain)
		if seen[digest] {
			t.Errorf("chain of %d has the digest of another", len(chain))
		}
		seen[digest] = true
	}
	if got, want := attest.DigestChain([]*x509.Certificate{leaf, one}), sha256.Sum256([]byte("leafone")); got != want {
		t.Errorf("got %x, want the SHA-256 of the certificates in order, %x", got, want)
	}
}

// FuzzBearer holds that what Bearer accepts is one token of one header.
func FuzzBearer(f *testing.F) {
	for _, seed := range []string{"Bearer abc", "bearer  a.b.c", "Bearer", "Basic YTpi", "Bearer a,b", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		h := http.Header{"Authorization": {value}}
		token, err := attest.Bearer(h)
		if (token == "") != (err != nil) {
			t.Fatalf("%q: got %q with error %v", value, token, err)
		}
		if err != nil {
			return
		}
		if strings.ContainsAny(token, " ,;\t\r\n\"") || !strings.HasSuffix(value, token) {
			t.Errorf("%q: got token %q", value, token)
		}
		if digest, ok := attest.DigestBearer(h, len(token)); !ok || digest != attest.DigestToken(token) {
			t.Errorf("%q: DigestBearer disagrees with Bearer", value)
		}
	})
}
