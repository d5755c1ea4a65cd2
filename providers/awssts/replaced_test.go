package awssts_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"mintmark/broker/bundle"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
)

// The broker's own key signs from the moment on at which its secret was replaced, also
// where it keeps its id.
func TestAReplacedSecretSigns(t *testing.T) {
	var mu sync.Mutex
	var seen []*http.Request
	d := serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen = append(seen, r)
		mu.Unlock()
		answer(200, issued("AssumeRole", time.Now().Add(time.Hour), canary+"-session"))(w, r)
	})
	c := keyed(t, d.URL)
	file := filepath.Join(t.TempDir(), "secret")
	c.SecretAccessKey = providertest.Parse[bundle.Ref](t, "file:"+file)
	p := open(t, c, providers.Env{})
	for i, secret := range []string{canary + "-before", canary + "-after"} {
		if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Mint(t.Context(), providertest.Agent(t, agentID)); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		got := seen[i]
		mu.Unlock()
		if want := signedAnew(t, got, "AKIAEXAMPLE", secret); got.Header.Get("Authorization") != want {
			t.Errorf("%s: got %s, want %s", secret, got.Header.Get("Authorization"), want)
		}
	}
}

// signedAnew returns the Authorization that r has when it is signed with a key.
func signedAnew(t *testing.T, r *http.Request, id, secret string) string {
	t.Helper()
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil {
		t.Fatal(err)
	}
	body := r.PostForm.Encode()
	again, err := http.NewRequestWithContext(t.Context(), r.Method, "http://"+r.Host+r.URL.Path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	_, names, _ := strings.Cut(r.Header.Get("Authorization"), "SignedHeaders=")
	names, _, _ = strings.Cut(names, ",")
	for name := range strings.SplitSeq(names, ";") {
		if v := r.Header.Get(name); v != "" && name != "content-length" {
			again.Header.Set(name, v)
		}
	}
	sum := sha256.Sum256([]byte(body))
	if err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}, again, hex.EncodeToString(sum[:]), "sts", "eu-central-1", at); err != nil {
		t.Fatal(err)
	}
	return again.Header.Get("Authorization")
}
