//go:build e2e

package testenv_test

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"golang.org/x/oauth2"

	"mintmark/internal/testenv"
)

func TestMinIOHoldsToSessionPolicy(t *testing.T) {
	t.Parallel()
	minio := testenv.MinIO(t, testenv.MinIOOptions{})
	for _, bucket := range []string{"reports", "payroll", "reports"} {
		minio.EnsureBucket(t, bucket)
	}

	session := assumeRole(t, minio, `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":["s3:GetObject","s3:PutObject"],"Resource":["arn:aws:s3:::reports/*"]}]}`)
	if err := put(t, session, "reports", "hello"); err != nil {
		t.Fatalf("put what the policy allows: %v", err)
	}
	key, bucket := "object", "reports"
	got, err := session.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		t.Fatalf("get what the policy allows: %v", err)
	}
	defer got.Body.Close()
	if body, err := io.ReadAll(got.Body); err != nil || string(body) != "hello" {
		t.Errorf("get: got %q, %v, want hello", body, err)
	}
	if err := put(t, session, "payroll", "hello"); err == nil {
		t.Error("put what the policy does not allow: got no error")
	}
}

// A token of the OAuth server gives keys that expire with it.
func TestMinIOTakesWebIdentity(t *testing.T) {
	t.Parallel()
	oauth := testenv.OAuth(t, testenv.OAuthOptions{TTL: 20 * time.Second})
	minio := testenv.MinIO(t, testenv.MinIOOptions{OpenID: &testenv.MinIOOpenID{
		ConfigURL: oauth.Issuer + "/.well-known/openid-configuration",
		ClientID:  oauth.Resource,
	}})
	minio.EnsureBucket(t, "reports")
	token, err := request(t.Context(), oauth, oauth2.AuthStyleInHeader)
	if err != nil {
		t.Fatal(err)
	}

	name := "test"
	out, err := minio.STS().AssumeRoleWithWebIdentity(t.Context(), &sts.AssumeRoleWithWebIdentityInput{
		RoleArn: &minio.RoleARN, RoleSessionName: &name, WebIdentityToken: &token.AccessToken,
	})
	if err != nil {
		t.Fatalf("assume role: %v", err)
	}
	if left := time.Until(*out.Credentials.Expiration); left > 20*time.Second {
		t.Errorf("keys: live for %s, want at most 20 s", left)
	}
	if err := put(t, sessionClient(minio, out.Credentials), "reports", "hello"); err != nil {
		t.Errorf("put: %v", err)
	}
}

func assumeRole(t *testing.T, minio *testenv.MinIOServer, policy string) *s3.Client {
	t.Helper()
	role, name := "arn:aws:iam::123456789012:role/test", "test"
	out, err := minio.STS().AssumeRole(t.Context(), &sts.AssumeRoleInput{
		RoleArn: &role, RoleSessionName: &name, Policy: &policy,
	})
	if err != nil {
		t.Fatalf("assume role: %v", err)
	}
	return sessionClient(minio, out.Credentials)
}

func sessionClient(minio *testenv.MinIOServer, c *types.Credentials) *s3.Client {
	config := minio.Config()
	config.Credentials = credentials.NewStaticCredentialsProvider(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)
	return s3.NewFromConfig(config, func(o *s3.Options) { o.UsePathStyle = true })
}

func put(t *testing.T, client *s3.Client, bucket, body string) error {
	t.Helper()
	key := "object"
	_, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader(body)})
	return err
}
