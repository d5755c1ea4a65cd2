//go:build e2e

package injector

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"mintmark/internal/testenv"
	"mintmark/providers"
)

// TestAWSVerifiesSignatures has what the schemes sign signed once more by AWS's own code for
// another language, which shares none with theirs: @smithy/signature-v4 and -v4a. It sees
// what a server sees, the request as it is sent. A signature of SigV4 must be the same; one
// of SigV4A must be good by the key that AWS's code derives, over the text that it makes.
func TestAWSVerifiesSignatures(t *testing.T) {
	t.Parallel()
	now := func() time.Time { return time.Date(2026, 8, 30, 12, 36, 0, 0, time.UTC) }
	for name, tt := range map[string]struct{ service, payload, method, target, body string }{
		"s3":             {"s3", "", "PUT", "https://bucket.s3.example.org/a%20key/%C3%A4+b//c?x-id=PutObject&acl=&a=1&a=0&A=%26", "hello"},
		"s3, unsigned":   {"s3", "unsigned", "PUT", "https://bucket.s3.example.org/key", "hello"},
		"another":        {"execute-api", "", "POST", "https://api.example.org:8443/v1/a%20key/%C3%A4+b?q=a+b&list=1&list=2", `{"a":1}`},
		"slashes":        {"execute-api", "", "GET", "https://api.example.org//v1///a%2F/b/", ""},
		"signs":          {"execute-api", "", "GET", "https://api.example.org/v1/~a/b:c@d;e=f!g$h,i*(j)'k?~=!*()'&x=%7E", ""},
		"without a path": {"execute-api", "", "GET", "https://api.example.org", ""},
	} {
		v4, err := NewSigV4("eu-central-1", tt.service, tt.payload, nil)
		if err != nil {
			t.Fatal(err)
		}
		v4a, err := NewSigV4A("eu-central-1,us-*", tt.service, tt.payload, nil)
		if err != nil {
			t.Fatal(err)
		}
		v4.now, v4a.now = now, now
		t.Run(name, func(t *testing.T) {
			for version, scheme := range map[string]Scheme{"v4": v4, "v4a": v4a} {
				u, err := url.Parse(tt.target)
				if err != nil {
					t.Fatal(err)
				}
				out := &Outgoing{Method: tt.method, URL: u, Header: http.Header{"Content-Type": {"text/plain;  charset=utf-8"}, "Accept": {"*/*"}, "X-Amz-Meta-Kind": {" a  b "}}, Body: []byte(tt.body)}
				key := providers.Material{AccessKeyID: "AKISORANDOMAASORANDOM", SecretAccessKey: providers.NewSecret("q+jcrXGc+0zWN6uzclKVhvMmUsIfRPa4rlRandom"), SessionToken: providers.NewSecret("session-0123456789")}
				if err := scheme.Inject(out, awsKey(t, key)); err != nil {
					t.Fatal(err)
				}
				verify(t, version, tt.service, out, now())
			}
		})
	}
}

// verify demands that out is signed as AWS's code signs it.
func verify(t *testing.T, version, service string, out *Outgoing, date time.Time) {
	t.Helper()
	authorization := out.Header.Get("Authorization")
	_, signed, _ := strings.Cut(authorization, "SignedHeaders=")
	signed, _, _ = strings.Cut(signed, ",")
	headers := map[string]string{}
	for name := range strings.SplitSeq(signed, ";") {
		headers[name] = strings.Join(out.Header.Values(name), ",")
	}
	headers["host"] = out.URL.Host
	if out.Header.Get("X-Amz-Content-Sha256") != unsignedPayload {
		delete(headers, "x-amz-content-sha256") // AWS's code takes it as it comes, or else computes it
	}
	if _, ok := headers["content-length"]; ok {
		headers["content-length"] = strconv.Itoa(len(out.Body))
	}
	regions := map[string]string{"v4": "eu-central-1", "v4a": "eu-central-1,us-*"}
	var theirs struct {
		Headers              map[string]string
		Key, Text, Canonical string
	}
	testenv.VendorClient(t, "sign", "", "", map[string]any{
		"version": version, "region": regions[version], "service": service, "date": date,
		"credentials": map[string]string{"accessKeyId": "AKISORANDOMAASORANDOM", "secretAccessKey": "q+jcrXGc+0zWN6uzclKVhvMmUsIfRPa4rlRandom", "sessionToken": "session-0123456789"},
		"request": map[string]any{
			"method": out.Method, "hostname": out.URL.Host, "path": out.URL.EscapedPath(), "query": out.URL.Query(), "headers": headers, "body": string(out.Body),
		},
	}, &theirs)
	before, signature, _ := strings.Cut(authorization, "Signature=")
	theirBefore, theirSignature, _ := strings.Cut(theirs.Headers["authorization"], "Signature=")
	if before != theirBefore {
		t.Errorf("%s: got %q, AWS's code has %q", version, before, theirBefore)
	}
	if version == "v4" {
		if signature != theirSignature {
			t.Errorf("%s: got signature %s, AWS's code has %s over\n%s", version, signature, theirSignature, theirs.Canonical)
		}
		return
	}
	if !ecdsa.VerifyASN1(point(t, theirs.Key), digest(theirs.Text), fromHex(t, signature)) {
		t.Errorf("%s: the signature does not verify over AWS's\n%s", version, theirs.Canonical)
	}
}

func fromHex(t *testing.T, text string) []byte {
	t.Helper()
	content, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func point(t *testing.T, text string) *ecdsa.PublicKey {
	t.Helper()
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), fromHex(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func digest(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}
