package injector

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/smithy-go/encoding/httpbinding"

	"mintmark/providers"
)

// SigV4 signs the request with an AWS credential (AWS Signature Version 4),
// over its headers and the digest of its body.
type SigV4 struct {
	region, service string
	signer          *v4.Signer
	now             func() time.Time
}

// NewSigV4 returns a SigV4 for one region and service.
func NewSigV4(region, service string) SigV4 {
	signer := v4.NewSigner(func(o *v4.SignerOptions) {
		// S3 signs the path as it is sent; the other services escape it once more.
		o.DisableURIPathEscaping = service == "s3"
	})
	return SigV4{region: region, service: service, signer: signer, now: time.Now}
}

// Owns reports whether name is of the signature's headers.
func (SigV4) Owns(name string) bool {
	switch name {
	case authorization, "X-Amz-Date", "X-Amz-Security-Token", "X-Amz-Content-Sha256":
		return true
	}
	return false
}

// Inject signs out as it stands: nothing may change it afterwards. It returns
// an error for a credential that holds no AWS key.
func (s SigV4) Inject(out *Outgoing, c providers.Opened) error {
	if c.SecretAccessKey() == "" {
		return fmt.Errorf("scheme sigv4: expected an AWS credential, got another kind")
	}
	sum := sha256.Sum256(out.Body)
	digest := hex.EncodeToString(sum[:])
	target := *out.URL
	target.RawPath = awsPath(out.URL)
	signed := &http.Request{Method: out.Method, URL: &target, Host: target.Host, Header: out.Header.Clone(), ContentLength: int64(len(out.Body))}
	signed.Header.Set("X-Amz-Content-Sha256", digest)
	key := aws.Credentials{AccessKeyID: c.Username(), SecretAccessKey: c.SecretAccessKey(), SessionToken: c.SessionToken()}
	if err := s.signer.SignHTTP(context.Background(), key, signed, digest, s.service, s.region, s.now()); err != nil {
		return fmt.Errorf("scheme sigv4: sign for %s in %s: %w", s.service, s.region, err)
	}
	out.URL, out.Header = signed.URL, signed.Header
	return nil
}

// awsPath returns the path of u in the one escaping that AWS signs: whatever is
// not unreserved is escaped in each segment. It is the same path, and it is sent
// in this form, because the server computes the signature over its own.
func awsPath(u *url.URL) string {
	segments := strings.Split(u.EscapedPath(), "/")
	for i, s := range segments {
		if plain, err := url.PathUnescape(s); err == nil { // EscapedPath is always well-formed
			segments[i] = httpbinding.EscapePath(plain, true)
		}
	}
	return strings.Join(segments, "/")
}
