package injector

import (
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/smithy-go/aws-http-auth/sigv4a"

	"mintmark/providers"
)

// awsLease is what a lease signs with: no secret access key where it is of another kind.
type awsLease struct {
	aws.Credentials
	*signers
}

// signers are a lease's own: each keeps the key that it derived, and knows it by the
// access key's id alone, which a secret that takes the place of another may share.
type signers struct {
	made  sync.Once
	here  *v4.Signer     // of one region
	wider *sigv4a.Signer // of several
}

func awsLeaseOf(c providers.Opened) awsLease {
	s := secretsOf(c)
	secret, _ := s.text(written{"sigv4", "secret access key"}, func() ([]byte, error) { return []byte(c.SecretAccessKey()), nil })
	session, _ := s.text(written{"sigv4", "session token"}, func() ([]byte, error) { return []byte(c.SessionToken()), nil })
	own := &s.written().signers
	own.made.Do(func() { own.here, own.wider = v4.NewSigner(), sigv4a.New() })
	return awsLease{aws.Credentials{AccessKeyID: c.Username(), SecretAccessKey: secret, SessionToken: session}, own}
}
