package testenv

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"regexp"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// miniStackAccount is the account of every ARN of a MiniStack.
const miniStackAccount = "123456789012"

// MiniStackServer is a running MiniStack: S3, STS and IAM at one endpoint. It emulates
// AWS, verifies signatures and evaluates policies, with their conditions on session tags.
// It does not verify web identities.
type MiniStackServer struct {
	Endpoint  string // http://127.0.0.1:PORT
	Region    string // us-east-1
	AccessKey string // of the user broker, who may do nothing but assume roles
	SecretKey string
	UserARN   string // of the user broker, for trust policies

	owner string // both keys of the account itself
	proc  *process
}

// MiniStack starts a MiniStack without buckets and roles.
func MiniStack(t testing.TB) *MiniStackServer {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Fatalf("start ministack: %v", err)
	}
	lib, dir := programs(t, "ministack"), tempDir(t)
	s := &MiniStackServer{Region: "us-east-1", UserARN: "arn:aws:iam::" + miniStackAccount + ":user/broker", owner: secret()}
	s.proc = launch(t, server{
		name: "ministack",
		command: func(port int) command {
			s.Endpoint = "http://" + address(port)
			return command{
				path: python,
				args: []string{"-m", "hypercorn", "ministack.app:app", "--bind", address(port)},
				dir:  dir,
				env: []string{
					"PYTHONPATH=" + lib, "PYTHONDONTWRITEBYTECODE=1", fmt.Sprintf("GATEWAY_PORT=%d", port),
					"AUTH=true", "MINISTACK_ACCOUNT_ID=" + miniStackAccount, "AWS_ACCESS_KEY_ID=" + s.owner, "AWS_SECRET_ACCESS_KEY=" + s.owner,
					"IOT_MTLS_ENABLED=0", "SFTP_ENABLED=0", // they would listen too
				},
			}
		},
		ready: func(ctx context.Context, _ *process) error {
			_, err := s.S3().ListBuckets(ctx, nil)
			return err
		},
	})
	s.user(t)
	return s
}

// user makes the user broker. At AWS a trust policy that names a user of its own account
// is enough; here the user's own policy has to permit it too.
func (s *MiniStackServer) user(t testing.TB) {
	t.Helper()
	s.iam(t, "CreateUser", url.Values{"UserName": {"broker"}})
	s.iam(t, "PutUserPolicy", url.Values{"UserName": {"broker"}, "PolicyName": {"assumes"}, "PolicyDocument": {
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:*","Resource":"*"}]}`,
	}})
	made := s.iam(t, "CreateAccessKey", url.Values{"UserName": {"broker"}})
	key := regexp.MustCompile(`(?s)<AccessKeyId>([^<]+).*<SecretAccessKey>([^<]+)`).FindStringSubmatch(made)
	if key == nil {
		t.Fatalf("make a key of ministack's user: got %s", made)
	}
	s.AccessKey, s.SecretKey = key[1], key[2]
}

// Role makes a role that those may assume whom trust, its trust policy, permits,
// and that may do what permits says. Both are JSON. It returns the role's ARN.
func (s *MiniStackServer) Role(t testing.TB, name, trust, permits string) string {
	t.Helper()
	s.iam(t, "CreateRole", url.Values{"RoleName": {name}, "AssumeRolePolicyDocument": {trust}})
	s.iam(t, "PutRolePolicy", url.Values{"RoleName": {name}, "PolicyName": {"permits"}, "PolicyDocument": {permits}})
	return "arn:aws:iam::" + miniStackAccount + ":role/" + name
}

// Policy makes a managed policy and returns its ARN.
func (s *MiniStackServer) Policy(t testing.TB, name, document string) string {
	t.Helper()
	s.iam(t, "CreatePolicy", url.Values{"PolicyName": {name}, "PolicyDocument": {document}})
	return "arn:aws:iam::" + miniStackAccount + ":policy/" + name
}

func (s *MiniStackServer) iam(t testing.TB, action string, form url.Values) string {
	t.Helper()
	form.Set("Action", action)
	form.Set("Version", "2010-05-08")
	return askIAM(t, s.config(s.owner, s.owner), form)
}

// Config returns the configuration of a client of this server with the keys of
// the user broker. It ignores the environment and does not retry.
func (s *MiniStackServer) Config() aws.Config { return s.config(s.AccessKey, s.SecretKey) }

func (s *MiniStackServer) config(access, key string) aws.Config {
	return aws.Config{
		Region:           s.Region,
		BaseEndpoint:     &s.Endpoint,
		Credentials:      credentials.NewStaticCredentialsProvider(access, key, ""),
		RetryMaxAttempts: 1,
		HTTPClient:       http.DefaultClient,
	}
}

// S3 returns an S3 client of the account itself, which may do everything.
func (s *MiniStackServer) S3() *s3.Client {
	return s3.NewFromConfig(s.config(s.owner, s.owner), func(o *s3.Options) { o.UsePathStyle = true })
}

// Stop ends the server, so that connections to it are refused.
func (s *MiniStackServer) Stop() { s.proc.stop() }

// Log returns the server's log.
func (s *MiniStackServer) Log() string { return s.proc.output() }
