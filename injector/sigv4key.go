package injector

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"mintmark/providers"
)

// awsLease is what a lease signs with: no secret access key where it is of another kind.
type awsLease struct {
	aws.Credentials
	// signer keeps the key that it derived for the day, and knows it by the access key's
	// id alone, which a secret that takes the place of another may share: so each lease
	// has one of its own.
	signer *v4.Signer
}

func awsLeaseOf(c providers.Opened) awsLease {
	s := secretsOf(c)
	secret, _ := s.text(written{"sigv4", "secret access key"}, func() ([]byte, error) { return []byte(c.SecretAccessKey()), nil })
	session, _ := s.text(written{"sigv4", "session token"}, func() ([]byte, error) { return []byte(c.SessionToken()), nil })
	return awsLease{aws.Credentials{AccessKeyID: c.Username(), SecretAccessKey: secret, SessionToken: session}, s.written().signer()}
}

// signer returns the lease's own.
func (f *filled) signer() *v4.Signer {
	f.signs.Do(func() { f.own = v4.NewSigner() })
	return f.own
}
