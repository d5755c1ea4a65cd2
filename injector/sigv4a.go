package injector

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/smithy-go/aws-http-auth/credentials"
	"github.com/aws/smithy-go/aws-http-auth/sigv4a"
	v4 "github.com/aws/smithy-go/aws-http-auth/v4"

	"mintmark/broker/bundle"
	"mintmark/providers"
)

// SigV4A signs the request with a key that is derived from an AWS credential, for
// several regions at once (AWS Signature Version 4A).
type SigV4A struct {
	signing
	regions          []string
	service, payload string
	now              func() time.Time
}

// NewSigV4A returns a SigV4A for a service in some regions, with commas between
// them, or in all ("*"). Payload is "signed", which "" means too, or "unsigned". What
// the agent sends of keep is signed too.
func NewSigV4A(regions, service, payload string, keep bundle.KeptHeaders) (SigV4A, error) {
	if err := knownPayload(payload); err != nil {
		return SigV4A{}, err
	}
	return SigV4A{signing: signing{keep}, regions: strings.Split(regions, ","), service: service, payload: payload, now: time.Now}, nil
}

// Inject signs out as it stands: nothing may change it afterwards. It returns
// an error for a credential that holds no AWS key.
func (s SigV4A) Inject(out *Outgoing, c providers.Opened) error {
	known := awsLeaseOf(c)
	key := credentials.Credentials{AccessKeyID: known.AccessKeyID, SecretAccessKey: known.SecretAccessKey, SessionToken: known.SessionToken}
	if key.SecretAccessKey == "" {
		return fmt.Errorf("scheme sigv4a: expected an AWS credential, got another kind")
	}
	r, digest := unsigned(out, s.payload)
	sent, at := r.Header, r.URL
	r.Header, r.URL = withoutExcess(sent), toSign(*at, s.service)
	err := known.wider.SignRequest(&sigv4a.SignRequestInput{
		Request: r, PayloadHash: payloadHash(digest), Service: s.service, RegionSet: s.regions, Time: s.now(), Credentials: key,
	}, func(o *v4.SignerOptions) {
		o.DisableDoublePathEscape = isS3(s.service)
		o.HeaderRules = signedHeaders{}
	})
	if err != nil {
		return fmt.Errorf("scheme sigv4a: sign for %s in %s: %w", s.service, strings.Join(s.regions, ","), err)
	}
	// All else is sent as it came, and not as it was signed.
	for _, name := range [...]string{authorization, "X-Amz-Date", "X-Amz-Region-Set", "X-Amz-Security-Token"} {
		if values, ok := r.Header[name]; ok {
			sent[name] = values
		}
	}
	out.URL, out.Header = at, sent
	return nil
}

// withoutExcess returns the headers as they are signed, with one space where there are
// more in a row. The signer of SigV4 does this by itself, that of SigV4A does not.
func withoutExcess(h http.Header) http.Header {
	h = h.Clone()
	for _, values := range h {
		for i := range values {
			for strings.Contains(values[i], "  ") {
				values[i] = strings.ReplaceAll(values[i], "  ", " ")
			}
		}
	}
	return h
}

// payloadHash returns what the signer writes as digest.
func payloadHash(digest string) []byte {
	if sum, err := hex.DecodeString(digest); err == nil {
		return sum
	}
	return v4.UnsignedPayload()
}

// signedHeaders are those that say what the request means.
type signedHeaders struct{}

// IsSigned implements v4.SignedHeaderRules.
func (signedHeaders) IsSigned(name string) bool {
	name = strings.ToLower(name)
	return name == "host" || name == "content-type" || name == "range" || strings.HasPrefix(name, "if-") || strings.HasPrefix(name, "x-amz-")
}
