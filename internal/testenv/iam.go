package testenv

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// askIAM does what form asks of the IAM of a server, and returns the answer.
func askIAM(t testing.TB, server aws.Config, form url.Values) string {
	t.Helper()
	body := form.Encode()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, *server.BaseEndpoint+"/", strings.NewReader(body))
	if err != nil {
		t.Fatalf("ask iam: %v", err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	keys, err := server.Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatalf("ask iam: %v", err)
	}
	sum := sha256.Sum256([]byte(body))
	if err := v4.NewSigner().SignHTTP(t.Context(), keys, r, hex.EncodeToString(sum[:]), "iam", server.Region, time.Now()); err != nil {
		t.Fatalf("ask iam: %v", err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatalf("ask iam: %v", err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("ask iam for %s: got %s: %s: %v", form.Get("Action"), answer.Status, text, err)
	}
	return string(text)
}
