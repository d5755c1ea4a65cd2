package injector

import (
	"encoding/hex"
	"fmt"
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
	known := awsMaterial(c)
	key := credentials.Credentials{AccessKeyID: known.AccessKeyID, SecretAccessKey: known.SecretAccessKey, SessionToken: known.SessionToken}
	if key.SecretAccessKey == "" {
		return fmt.Errorf("scheme sigv4a: expected an AWS credential, got another kind")
	}
	r, digest := unsigned(out, s.payload)
	// A signer keeps the key that it derived, and knows it by the access key's id
	// alone: so each request has one of its own.
	signer := sigv4a.New(func(o *v4.SignerOptions) {
		o.DisableDoublePathEscape = s.service == "s3"
		o.HeaderRules = signedHeaders{}
	})
	err := signer.SignRequest(&sigv4a.SignRequestInput{
		Request: r, PayloadHash: payloadHash(digest), Service: s.service, RegionSet: s.regions, Time: s.now(), Credentials: key,
	})
	if err != nil {
		return fmt.Errorf("scheme sigv4a: sign for %s in %s: %w", s.service, strings.Join(s.regions, ","), err)
	}
	r.Header.Del("Host") // the signer puts it there; net/http writes it by itself
	out.URL, out.Header = r.URL, r.Header
	return nil
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
