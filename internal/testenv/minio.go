package testenv

import (
	"context"
	"errors"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// MinIOServer is a running MinIO: S3 and STS at one endpoint.
type MinIOServer struct {
	Endpoint  string // http://127.0.0.1:PORT
	Region    string // us-east-1
	AccessKey string // of the root user, who may assume any role
	SecretKey string
	RoleARN   string // of AssumeRoleWithWebIdentity; empty without OpenID

	proc *process
}

// MinIOOptions are optional.
type MinIOOptions struct {
	// OpenID makes the server accept JWTs for AssumeRoleWithWebIdentity.
	OpenID *MinIOOpenID
}

// MinIOOpenID is whose JWTs give which rights.
type MinIOOpenID struct {
	ConfigURL string // the issuer's discovery document; it must answer already
	ClientID  string // must equal the JWT's audience
	Policy    string // a policy's name, "readwrite" if empty
}

// MinIO starts a MinIO without buckets.
func MinIO(t testing.TB, options MinIOOptions) *MinIOServer {
	t.Helper()
	path, dir := filepath.Join(programs(t, "minio"), "minio"), tempDir(t)
	s := &MinIOServer{Region: "us-east-1", AccessKey: secret(), SecretKey: secret()}
	s.proc = launch(t, server{
		name: "minio",
		command: func(port int) command {
			s.Endpoint = "http://" + address(port)
			return command{
				path: path,
				args: []string{"server", "--address", address(port), filepath.Join(dir, "data")},
				dir:  dir,
				env:  s.environment(options),
			}
		},
		ready: func(ctx context.Context, _ *process) error {
			// The keys are random, so only this server can accept them.
			if _, err := s.S3().ListBuckets(ctx, nil); err != nil {
				return err
			}
			// Its STS starts later than its S3.
			role := &sts.AssumeRoleInput{RoleArn: aws.String("arn:aws:iam::123456789012:role/ready"), RoleSessionName: aws.String("ready")}
			_, err := sts.NewFromConfig(s.Config()).AssumeRole(ctx, role)
			return err
		},
	})
	if options.OpenID != nil {
		s.RoleARN = s.printedRole(t)
	}
	return s
}

func (s *MinIOServer) environment(options MinIOOptions) []string {
	env := []string{
		"MINIO_ROOT_USER=" + s.AccessKey,
		"MINIO_ROOT_PASSWORD=" + s.SecretKey,
		"MINIO_REGION=" + s.Region,
		"MINIO_BROWSER=off",
		"MINIO_UPDATE=off",
	}
	if o := options.OpenID; o != nil {
		env = append(env,
			"MINIO_IDENTITY_OPENID_CONFIG_URL="+o.ConfigURL,
			"MINIO_IDENTITY_OPENID_CLIENT_ID="+o.ClientID,
			"MINIO_IDENTITY_OPENID_ROLE_POLICY="+defaulted(o.Policy, "readwrite"))
	}
	return env
}

// printedRole returns the role that the server made for its OpenID issuer,
// which it tells in its log only.
func (s *MinIOServer) printedRole(t testing.TB) string {
	t.Helper()
	arn := regexp.MustCompile(`arn:minio:iam:\S+`)
	err := s.proc.await(t.Context(), func(context.Context) error {
		if !arn.MatchString(s.proc.output()) {
			return errors.New("no role in its log")
		}
		return nil
	})
	if err != nil {
		t.Fatalf("start minio: %v; end of its log:\n%s", err, s.proc.tail())
	}
	return arn.FindString(s.proc.output())
}

// Config returns the configuration of a client of this server with the root
// user's keys. It ignores the environment and does not retry.
func (s *MinIOServer) Config() aws.Config {
	return aws.Config{
		Region:           s.Region,
		BaseEndpoint:     &s.Endpoint,
		Credentials:      credentials.NewStaticCredentialsProvider(s.AccessKey, s.SecretKey, ""),
		RetryMaxAttempts: 1,
	}
}

// S3 returns an S3 client with the root user's keys.
func (s *MinIOServer) S3() *s3.Client {
	return s3.NewFromConfig(s.Config(), func(o *s3.Options) { o.UsePathStyle = true })
}

// STS returns an STS client with the root user's keys.
func (s *MinIOServer) STS() *sts.Client {
	return sts.NewFromConfig(s.Config())
}

// EnsureBucket makes a bucket unless it is there. Its name must have at least
// three characters.
func (s *MinIOServer) EnsureBucket(t testing.TB, name string) {
	t.Helper()
	_, err := s.S3().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name})
	var owned *types.BucketAlreadyOwnedByYou
	if err != nil && !errors.As(err, &owned) {
		t.Fatalf("create bucket %s: %v", name, err)
	}
}

// Stop ends the server, so that connections to it are refused.
func (s *MinIOServer) Stop() {
	s.proc.stop()
}
