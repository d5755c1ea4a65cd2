package testenv

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// Role makes a role that those may assume whom trust, its trust policy, permits,
// and that may do what permits says. Both are JSON. It returns the role's ARN.
func (s *CephServer) Role(t testing.TB, name, trust, permits string) string {
	t.Helper()
	made := s.admin(t, "role", "create", "--role-name="+name, "--assume-role-policy-doc="+trust)
	var role struct{ Arn string }
	if err := json.Unmarshal(made, &role); err != nil || role.Arn == "" {
		t.Fatalf("create role %s: got %s: %v", name, made, err)
	}
	s.admin(t, "role-policy", "put", "--role-name="+name, "--policy-name=permits", "--policy-doc="+permits)
	return role.Arn
}

// RemoveRole removes a role and what it may do.
func (s *CephServer) RemoveRole(t testing.TB, name string) {
	t.Helper()
	s.admin(t, "role-policy", "delete", "--role-name="+name, "--policy-name=permits")
	s.admin(t, "role", "delete", "--role-name="+name)
}

// User makes a user beside broker, and returns its two keys.
func (s *CephServer) User(t testing.TB, name string) (access, key string) {
	t.Helper()
	access, key = secret(), secret()
	s.admin(t, "user", "create", "--uid="+name, "--display-name="+name, "--access-key="+access, "--secret-key="+key)
	return access, key
}

// OpenID makes the gateway believe JWTs of issuer, an http:// or https:// URL, for
// audience, whose keys are in the given certificate. It returns the ARN that trust
// policies know the issuer by.
func (s *CephServer) OpenID(t testing.TB, issuer, audience string, certificate *x509.Certificate) string {
	t.Helper()
	sum := sha1.Sum(certificate.Raw) // it is how AWS names certificates
	s.iam(t, url.Values{
		"Action": {"CreateOpenIDConnectProvider"}, "Url": {issuer},
		"ClientIDList.member.1": {audience}, "ThumbprintList.member.1": {hex.EncodeToString(sum[:])},
	})
	_, host, _ := strings.Cut(issuer, "://")
	return "arn:aws:iam:::oidc-provider/" + host
}

// iam does what form asks of the gateway's IAM.
func (s *CephServer) iam(t testing.TB, form url.Values) {
	t.Helper()
	body := form.Encode()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.Endpoint+"/", strings.NewReader(body))
	if err != nil {
		t.Fatalf("ask iam: %v", err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	keys, err := s.Config().Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatalf("ask iam: %v", err)
	}
	sum := sha256.Sum256([]byte(body))
	if err := v4.NewSigner().SignHTTP(t.Context(), keys, r, hex.EncodeToString(sum[:]), "iam", s.Region, time.Now()); err != nil {
		t.Fatalf("ask iam: %v", err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatalf("ask iam: %v", err)
	}
	defer answer.Body.Close()
	if text, _ := io.ReadAll(answer.Body); answer.StatusCode != http.StatusOK {
		t.Fatalf("ask iam for %s: got %s: %s", form.Get("Action"), answer.Status, text)
	}
}

// CephOperation is an entry of the gateway's log of operations.
type CephOperation struct {
	Bucket    string `json:"bucket"`
	Object    string `json:"object"`
	Operation string `json:"operation"`
	User      string `json:"user"`
	Status    string `json:"http_status"`
	ErrorCode string `json:"error_code"`
	// Authentication is STS where a session signed, which Session is then.
	Authentication string `json:"authentication_type"`
	Session        struct {
		Role string `json:"role_name"` // TENANT$NAME
		Name string `json:"role_session"`
	} `json:"sts_info"`
	// Raw is the whole entry.
	Raw string `json:"-"`
}

// Operation waits until the gateway has logged an operation for which found is
// true, and returns it.
func (s *CephServer) Operation(t testing.TB, found func(CephOperation) bool) CephOperation {
	t.Helper()
	var got CephOperation
	err := poll(t.Context(), func(context.Context) error {
		log, err := os.ReadFile(s.file("ops.log"))
		if err != nil {
			return err
		}
		for line := range bytes.Lines(log) {
			entry := CephOperation{Raw: string(line)}
			if json.Unmarshal(line, &entry) == nil && found(entry) {
				got = entry
				return nil
			}
		}
		return fmt.Errorf("not among the operations on log:\n%s", log)
	})
	if err != nil {
		t.Fatalf("read the gateway's log of operations: %v", err)
	}
	return got
}
