//go:build e2e

package awssts_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"mintmark/broker/bundle"
	"mintmark/internal/fault"
	"mintmark/internal/testenv"
	"mintmark/providers"
	"mintmark/providers/awssts"
	"mintmark/providers/internal/providertest"
)

const reportsOnly = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:PutObject"],"Resource":["arn:aws:s3:::reports/*"]}]}`

func config(t *testing.T, s *testenv.MinIOServer) awssts.Config {
	return awssts.Config{
		Region:          s.Region,
		Endpoint:        providertest.URL(t, s.Endpoint),
		RoleARN:         "arn:aws:iam::123456789012:role/reports",
		Policy:          reportsOnly,
		AccessKeyID:     providertest.Ref(t, s.AccessKey),
		SecretAccessKey: providertest.Ref(t, s.SecretKey),
	}
}

// server is S3 and STS at one endpoint.
type server interface{ Config() aws.Config }

// put stores an object with the leased credential, and returns the code of the
// refusal, or "".
func put(t *testing.T, s server, c providers.Opened, bucket string) string {
	t.Helper()
	return putAt(t, s, c, bucket, "object")
}

func putAt(t *testing.T, s server, c providers.Opened, bucket, key string) string {
	t.Helper()
	config := s.Config()
	config.Credentials = credentials.NewStaticCredentialsProvider(c.Username(), c.SecretAccessKey(), c.SessionToken())
	client := s3.NewFromConfig(config, func(o *s3.Options) { o.UsePathStyle = true })
	// Nothing is in it: a server that refuses before it has read a body may hang up.
	_, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: &key})
	if err == nil {
		return ""
	}
	if refused, ok := errors.AsType[smithy.APIError](err); ok {
		return refused.ErrorCode()
	}
	t.Fatalf("put: %v", err)
	return ""
}

func TestCredentialDoesWhatItsPolicyAllows(t *testing.T) {
	t.Parallel()
	s := testenv.MinIO(t, testenv.MinIOOptions{})
	s.EnsureBucket(t, "reports")
	s.EnsureBucket(t, "payroll")
	r := providertest.One(t, open(t, config(t, s), providers.Env{}), s.SecretKey)
	defer r.Stop(t)
	c, _ := r.Must(t, providertest.Agent(t, agentID))
	opened := r.Reveal(t, c)
	if got := put(t, s, opened, "reports"); got != "" {
		t.Errorf("put what the policy allows: got %s", got)
	}
	if got := put(t, s, opened, "payroll"); got != "AccessDenied" {
		t.Errorf("put what the policy does not allow: got %q, want AccessDenied", got)
	}
	if life := time.Until(c.NotAfter()); life < 14*time.Minute || life > 15*time.Minute {
		t.Errorf("life: got %v, want 15m", life)
	}
	other, _ := r.Must(t, providertest.Agent(t, agentID+"2"))
	if other.ID() == c.ID() || r.Reveal(t, other).Username() == opened.Username() {
		t.Error("another agent: got the same credential, want its own")
	}
}

// One registration, and each agent has a folder of its own.
func TestPolicyKeepsEachAgentInItsFolder(t *testing.T) {
	t.Parallel()
	s := testenv.MinIO(t, testenv.MinIOOptions{})
	s.EnsureBucket(t, "reports")
	c := config(t, s)
	c.SessionName = "mintmark"
	c.Policy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:PutObject"],"Resource":["arn:aws:s3:::reports/{trust_domain}/{subject_path}/*"]}]}`
	r := providertest.One(t, open(t, c, providers.Env{}), s.SecretKey)
	defer r.Stop(t)
	agents := map[string]string{agentID: "a.test/ns,prod,sa,bot/", "spiffe://a.test/ns": "a.test/ns/", agentID + "2": "a.test/ns,prod,sa,bot2/"}
	for id := range agents {
		leased, _ := r.Must(t, providertest.Agent(t, id))
		opened := r.Reveal(t, leased)
		for owner, folder := range agents {
			want := "AccessDenied"
			if owner == id {
				want = ""
			}
			if got := putAt(t, s, opened, "reports", folder+"object"); got != want {
				t.Errorf("%s puts into %s: got %q, want %q", id, folder, got, want)
			}
		}
	}
}

// MinIO begins no session with another's: the chain breaks at its second role.
func TestChainThatTheRealServerRefuses(t *testing.T) {
	t.Parallel()
	s := testenv.MinIO(t, testenv.MinIOOptions{})
	c := config(t, s)
	c.Chain = []string{"arn:aws:iam::123456789012:role/hub"}
	r := providertest.One(t, open(t, c, providers.Env{}), s.SecretKey)
	defer r.Stop(t)
	r.Refused(t, providertest.Agent(t, agentID), fault.Internal)
	if reason := r.Records(t)[0].Reason; !strings.Contains(reason, "assume arn:aws:iam::123456789012:role/reports: sts answered with status 403") {
		t.Errorf("reason: got %q, want the second role refused", reason)
	}
}

// MinIO takes no notice of a source identity, and the lease is refused.
func TestSourceIdentityThatTheRealServerIgnores(t *testing.T) {
	t.Parallel()
	s := testenv.MinIO(t, testenv.MinIOOptions{})
	c := config(t, s)
	c.SourceIdentity = "{subject_path}"
	r := providertest.One(t, open(t, c, providers.Env{}), s.SecretKey)
	defer r.Stop(t)
	if hint := r.Refused(t, providertest.Agent(t, agentID), fault.Internal); hint != "sts began a session without the source identity that it was asked for" {
		t.Errorf("hint: got %q", hint)
	}
}

func TestRefusalsOfTheRealServer(t *testing.T) {
	t.Parallel()
	s := testenv.MinIO(t, testenv.MinIOOptions{})
	const refused = "the credential provider refused the broker"
	for name, change := range map[string]func(*awssts.Config){
		"wrong secret":     func(c *awssts.Config) { c.SecretAccessKey = providertest.Ref(t, canary) },
		"unknown key":      func(c *awssts.Config) { c.AccessKeyID = providertest.Ref(t, "AKIAUNKNOWN") },
		"malformed policy": func(c *awssts.Config) { c.Policy = `{"Version":"` + canary + `"}` },
	} {
		t.Run(name, func(t *testing.T) {
			c := config(t, s)
			change(&c)
			r := providertest.One(t, open(t, c, providers.Env{}), canary, s.SecretKey)
			defer r.Stop(t)
			if hint := r.Refused(t, providertest.Agent(t, agentID), fault.Internal); hint != refused {
				t.Errorf("hint: got %q, want %q", hint, refused)
			}
		})
	}
	s.Stop()
	r := providertest.One(t, open(t, config(t, s), providers.Env{}), s.SecretKey)
	defer r.Stop(t)
	if hint := r.Refused(t, providertest.Agent(t, agentID), fault.Unavailable); hint != "sts refuses connections" {
		t.Errorf("gone: got %q", hint)
	}
}

// issuer stands for the broker's trust domain: what it signs, MinIO verifies by
// the issuer's published keys.
type issuer struct {
	providertest.NoX509SVID
	*testenv.OAuthServer
}

func (i issuer) JWTSVID(ctx context.Context, audience string) (string, error) {
	grant := clientcredentials.Config{
		ClientID: i.ClientID, ClientSecret: i.ClientSecret, TokenURL: i.TokenURL,
		EndpointParams: map[string][]string{"resource": {audience}}, AuthStyle: oauth2.AuthStyleInHeader,
	}
	token, err := grant.Token(ctx)
	if err != nil {
		return "", err
	}
	return token.AccessToken, nil
}

func TestWebIdentityOfTheRealServer(t *testing.T) {
	t.Parallel()
	as := testenv.OAuth(t, testenv.OAuthOptions{})
	s := testenv.MinIO(t, testenv.MinIOOptions{OpenID: &testenv.MinIOOpenID{
		ConfigURL: as.Issuer + "/.well-known/openid-configuration",
		ClientID:  as.Resource,
	}})
	s.EnsureBucket(t, "reports")
	s.EnsureBucket(t, "payroll")
	c := config(t, s)
	c.AccessKeyID, c.SecretAccessKey = bundle.Ref{}, bundle.Ref{}
	c.RoleARN, c.WebIdentity = s.RoleARN, &awssts.WebIdentity{Audience: as.Resource}
	r := providertest.One(t, open(t, c, providers.Env{Self: issuer{OAuthServer: as}}), as.ClientSecret)
	defer r.Stop(t)
	leased, _ := r.Must(t, providertest.Agent(t, agentID))
	opened := r.Reveal(t, leased)
	if got := put(t, s, opened, "reports"); got != "" {
		t.Errorf("put what the policy allows: got %s", got)
	}
	if got := put(t, s, opened, "payroll"); got != "AccessDenied" {
		t.Errorf("put what the policy does not allow: got %q, want AccessDenied", got)
	}
	if life := time.Until(leased.NotAfter()); life < 14*time.Minute || life > 15*time.Minute {
		t.Errorf("life: got %v, want the 15m that were asked for", life)
	}

	c.RoleARN += "x"
	refused := providertest.One(t, open(t, c, providers.Env{Self: issuer{OAuthServer: as}}), as.ClientSecret)
	defer refused.Stop(t)
	refused.Refused(t, providertest.Agent(t, agentID), fault.Internal)
}
