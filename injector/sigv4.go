package injector

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/smithy-go/encoding/httpbinding"

	"mintmark/broker/bundle"
	"mintmark/internal/fault"
	"mintmark/providers"
)

// The ways to sign a body, as a registration names them and as a request does.
const (
	payloadUnsigned  = "unsigned"
	payloadStreaming = "streaming"

	unsignedPayload  = "UNSIGNED-PAYLOAD"
	streamingPayload = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
)

// SigV4 signs the request with an AWS credential (AWS Signature Version 4),
// over its headers and, unless it is told otherwise, the digest of its body.
type SigV4 struct {
	signing
	region, service, payload string
	now                      func() time.Time
}

// NewSigV4 returns a SigV4 for one region and service. Payload is "signed", which
// "" means too, "unsigned" or, for S3 alone, "streaming". What the agent sends of
// keep is signed too.
func NewSigV4(region, service, payload string, keep bundle.KeptHeaders) (SigV4, error) {
	if err := knownPayload(payload, payloadStreaming); err != nil {
		return SigV4{}, err
	}
	return SigV4{signing: signing{keep}, region: region, service: service, payload: payload, now: time.Now}, nil
}

func knownPayload(payload string, more ...string) error {
	known := append([]string{"signed", payloadUnsigned}, more...)
	if payload != "" && !slices.Contains(known, payload) {
		return fmt.Errorf("expected a payload of %s, got %q", strings.Join(known, ", "), payload)
	}
	return nil
}

// Inject signs out as it stands: nothing may change it afterwards. It returns
// an error for a credential that holds no AWS key. To stream is to send the body
// in signed chunks, around the same bytes.
func (s SigV4) Inject(out *Outgoing, c providers.Opened) error {
	key := awsLeaseOf(c)
	if key.SecretAccessKey == "" {
		return fmt.Errorf("scheme sigv4: expected an AWS credential, got another kind")
	}
	if s.payload == payloadStreaming && len(out.Body) > 0 {
		return s.stream(out, key)
	}
	signed, digest := unsigned(out, s.payload)
	if err := s.sign(key, signed, digest, s.now()); err != nil {
		return err
	}
	out.URL, out.Header = signed.URL, signed.Header
	return nil
}

// sign signs r, and leaves its URL as it was: the signer would send the query sorted.
func (s SigV4) sign(key awsLease, r *http.Request, digest string, now time.Time) error {
	sent := r.URL
	r.URL = toSign(*sent, s.service)
	asSent := func(o *v4.SignerOptions) {
		// S3 signs the path as it is sent; the other services escape it once more.
		o.DisableURIPathEscaping = isS3(s.service)
	}
	if err := key.here.SignHTTP(context.Background(), key.Credentials, r, digest, s.service, s.region, now, asSent); err != nil {
		return fmt.Errorf("scheme sigv4: sign for %s in %s: %w", s.service, s.region, err)
	}
	r.URL = sent
	return nil
}

// isS3 reports whether a service is S3, by one of the names that its parts sign with.
func isS3(service string) bool {
	switch service {
	case "s3", "s3express", "s3-outposts", "s3-object-lambda":
		return true
	}
	return false
}

// toSign returns u as a service signs it: all but S3 take slashes in a row for one.
func toSign(u url.URL, service string) *url.URL {
	path := u.EscapedPath()
	for !isS3(service) && strings.Contains(path, "//") {
		path = strings.ReplaceAll(path, "//", "/")
	}
	u.Path, _ = url.PathUnescape(path) // EscapedPath is always well-formed
	u.RawPath = path
	return &u
}

// unsigned returns out as it is to be signed, and what it says of its body.
func unsigned(out *Outgoing, payload string) (*http.Request, string) {
	digest := unsignedPayload
	if payload != payloadUnsigned {
		sum := sha256.Sum256(out.Body)
		digest = hex.EncodeToString(sum[:])
	}
	target := *out.URL
	target.RawPath, target.RawQuery = awsPath(out.URL), awsQuery(out.URL.RawQuery)
	if port := target.Port(); target.Scheme == "https" && port == "443" || target.Scheme == "http" && port == "80" {
		target.Host = strings.TrimSuffix(target.Host, ":"+port) // which the signer leaves out of what it signs
	}
	r := &http.Request{Method: out.Method, URL: &target, Host: target.Host, Header: out.Header.Clone(), ContentLength: int64(len(out.Body))}
	r.Header.Set("X-Amz-Content-Sha256", digest)
	return r, digest
}

// chunk is the size of all chunks but the last; S3 demands 8 KiB at least.
const chunk = 64 << 10

// stream signs the head and then each chunk with the signature before it. See "Signature
// calculations for the authorization header: transferring payload in multiple
// chunks" in the S3 API reference.
func (s SigV4) stream(out *Outgoing, key awsLease) error {
	now := s.now().UTC()
	r, _ := unsigned(out, payloadUnsigned)
	r.ContentLength = chunkedLength(len(out.Body))
	r.Header.Set("X-Amz-Content-Sha256", streamingPayload)
	r.Header.Set("X-Amz-Decoded-Content-Length", strconv.Itoa(len(out.Body)))
	r.Header.Set("Content-Encoding", "aws-chunked")
	if err := s.sign(key, r, streamingPayload, now); err != nil {
		return err
	}
	_, signature, _ := strings.Cut(r.Header.Get(authorization), "Signature=")
	seed, err := hex.DecodeString(signature)
	if err != nil {
		return fmt.Errorf("scheme sigv4: expected a signature in hex from the signer")
	}
	signer := v4.NewStreamSigner(key.Credentials, s.service, s.region, seed)
	body := bytes.NewBuffer(make([]byte, 0, r.ContentLength))
	for rest, last := out.Body, false; !last; {
		part := rest[:min(len(rest), chunk)]
		rest, last = rest[len(part):], len(part) == 0
		signature, err := signer.GetSignature(context.Background(), nil, part, now)
		if err != nil {
			return fmt.Errorf("scheme sigv4: sign a chunk for %s in %s: %w", s.service, s.region, err)
		}
		fmt.Fprintf(body, chunkHead, len(part), signature)
		body.Write(part)
		body.WriteString("\r\n")
	}
	out.URL, out.Header, out.Body = r.URL, r.Header, body.Bytes()
	return nil
}

const chunkHead = "%x;chunk-signature=%x\r\n"

// chunkedLength returns the length of a body of n bytes in chunks, with the empty
// one at its end.
func chunkedLength(n int) (length int64) {
	for last := false; !last; {
		part := min(n, chunk)
		n, last = n-part, part == 0
		length += int64(len(fmt.Sprintf(chunkHead, part, [sha256.Size]byte{})) + part + len("\r\n"))
	}
	return length
}

// signing is what the schemes that sign have in common.
type signing struct{ keep bundle.KeptHeaders }

// Owns reports whether name is of a signature's headers or parameters: the agent's
// own signature goes, as a whole.
func (s signing) Owns(where Place, name string) bool {
	switch where {
	case InHeader:
		if s.Keeps(name) {
			return false
		}
		return name == authorization || strings.HasPrefix(name, "X-Amz-") || name == "Content-Encoding"
	case InQuery:
		return strings.HasPrefix(fold(parameter(name)), "x-amz-")
	}
	return false
}

// Keeps implements HeaderKeeper.
func (s signing) Keeps(name string) bool { return s.keep.Match(name) }

// Admit refuses a body in the chunks that SDKs sign: without their signatures it
// would be stored with what frames them.
func (signing) Admit(header http.Header, _ []byte) error {
	for _, name := range [...]string{"X-Amz-Content-Sha256", "Content-Encoding"} {
		for _, v := range header[name] {
			if v = strings.ToLower(v); strings.HasPrefix(v, "streaming-") || strings.Contains(v, "aws-chunked") {
				return fault.New("receive", fault.Invalid, "expected a body as it is, got one in chunks that the agent's SDK signed; have it send the whole"+
					" (in AWS SDKs: request_checksum_calculation = when_required)")
			}
		}
	}
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

// awsQuery returns a query in the escaping that AWS signs, its parameters in the order
// in which they came: the signature is over them sorted, by whoever computes it.
func awsQuery(raw string) string {
	var parts []string
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		parts = append(parts, awsEscape(name)+"="+awsEscape(value))
	}
	return strings.Join(parts, "&")
}

func awsEscape(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil { // StripQuery let no other pass
		s = plain
	}
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
}
