package testenv

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// SeaweedFSUser is the ARN of the user broker, for trust policies. SeaweedFS has all
// users in this account.
const SeaweedFSUser = "arn:aws:iam::000000000000:user/broker"

// SeaweedFSServer is a running SeaweedFS: S3 and STS at one endpoint, and what its S3
// writes into its audit log.
type SeaweedFSServer struct {
	Endpoint  string // http://127.0.0.1:PORT
	Region    string // us-east-1
	AccessKey string // of the user broker, who may do nothing but assume roles
	SecretKey string

	dir   string
	owner string // both keys of the user who may do everything
	audit *auditLog
	proc  *process
}

// SeaweedFSOptions say what its STS knows.
type SeaweedFSOptions struct {
	Roles  map[string]SeaweedFSRole // by name
	OpenID *SeaweedFSOpenID         // whose JWTs AssumeRoleWithWebIdentity takes, if any
}

// SeaweedFSRole is a role in JSON: its trust policy, and what it may do.
type SeaweedFSRole struct{ Trust, Permits string }

// SeaweedFSOpenID is an issuer of JWTs. SeaweedFS asks for its keys when it first
// needs them. Trust policies call the issuer "openid", and what a JWT claims "oidc:sub".
type SeaweedFSOpenID struct {
	Issuer   string
	Audience string
	Tags     []string // names of session tags that a JWT may set
}

// SeaweedFS starts a SeaweedFS without buckets, but for one that is called ready.
func SeaweedFS(t testing.TB, options SeaweedFSOptions) *SeaweedFSServer {
	t.Helper()
	s := &SeaweedFSServer{Region: "us-east-1", AccessKey: secret(), SecretKey: secret(), dir: tempDir(t), owner: secret()}
	s.audit = newAuditLog(t, filepath.Join(s.dir, "audit.sock"))
	s.configure(t, options)
	path := filepath.Join(programs(t, "seaweedfs"), "weed")
	s.proc = launch(t, server{
		name: "seaweedfs",
		command: func(port int) command {
			s.Endpoint = "http://" + address(port)
			return command{path: path, args: s.arguments(t, port), dir: s.dir}
		},
		ready: func(ctx context.Context, _ *process) error { return s.stores(ctx) },
	})
	return s
}

// arguments have all that SeaweedFS is made of listen on loopback, and nothing report home.
func (s *SeaweedFSServer) arguments(t testing.TB, port int) []string {
	t.Helper()
	args := []string{
		"server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-dir=" + s.dir, fmt.Sprintf("-s3.port=%d", port),
		"-master.peers=none", "-master.telemetry=false", "-master.electionTimeout=1s", "-master.volumeSizeLimitMB=64", "-volume.max=100", "-volume.minFreeSpace=10MiB",
		"-filer", "-filer.localSocket=" + s.file("filer.sock"),
		"-s3", "-s3.localSocket=" + s.file("s3.sock"), "-s3.port.iceberg=0", "-s3.port.lance=0",
		"-s3.config=" + s.file("users.json"), "-s3.iam.config=" + s.file("iam.json"), "-s3.auditLogConfig=" + s.file("audit.json"),
	}
	for _, part := range []string{"master", "volume", "filer"} {
		args = append(args, fmt.Sprintf("-%s.port=%d", part, FreePort(t)))
	}
	for _, part := range []string{"master", "volume", "filer", "s3"} {
		port := FreePort(t)
		args = append(args, fmt.Sprintf("-%s.port.grpc=%d", part, port))
		// It listens there besides, wherever its folder is, and leaves it when it is killed.
		t.Cleanup(func() { _ = os.Remove(fmt.Sprintf("/tmp/seaweedfs-%s-grpc-%d.sock", part, port)) })
	}
	return args
}

// stores makes an object, which takes all parts: S3 answers before the others do.
func (s *SeaweedFSServer) stores(ctx context.Context) error {
	if _, err := s.S3().CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("ready")}); err != nil && !strings.Contains(err.Error(), "BucketAlready") {
		return err
	}
	_, err := s.S3().PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("ready"), Key: aws.String("ready"), Body: strings.NewReader("ready")})
	return err
}

func (s *SeaweedFSServer) file(name string) string { return filepath.Join(s.dir, name) }

func (s *SeaweedFSServer) configure(t testing.TB, options SeaweedFSOptions) {
	t.Helper()
	type object = map[string]any
	user := func(name, access, key string, actions ...string) object {
		return object{"name": name, "credentials": []object{{"accessKey": access, "secretKey": key}}, "actions": actions}
	}
	s.json(t, "users.json", object{"identities": []object{user("broker", s.AccessKey, s.SecretKey), user("owner", s.owner, s.owner, "Admin")}})
	s.json(t, "audit.json", object{"fluent_network": "unix", "fluent_socket_path": s.file("audit.sock"), "marshal_as_json": true})
	sts := object{"issuer": "seaweedfs", "signingKey": []byte(secret() + secret()), "tokenDuration": "1h", "maxSessionLength": "12h"}
	if o := options.OpenID; o != nil {
		config := object{"issuer": o.Issuer, "clientId": o.Audience, "allowedPrincipalTagKeys": o.Tags}
		sts["providers"] = []object{{"name": "openid", "type": "oidc", "enabled": true, "config": config}}
	}
	var policies, roles []object
	for name, role := range options.Roles {
		policies = append(policies, object{"name": name, "document": json.RawMessage(role.Permits)})
		roles = append(roles, object{"roleName": name, "roleArn": s.RoleARN(name), "trustPolicy": json.RawMessage(role.Trust), "attachedPolicies": []string{name}})
	}
	s.json(t, "iam.json", object{"sts": sts, "policies": policies, "roles": roles})
}

func (s *SeaweedFSServer) json(t testing.TB, name string, value any) {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatalf("configure seaweedfs: %v", err)
	}
	write(t, s.file(name), string(text))
}

// RoleARN is a role by its name.
func (s *SeaweedFSServer) RoleARN(name string) string {
	return "arn:aws:iam::000000000000:role/" + name
}

// Config returns the configuration of a client of this server with the keys of
// the user broker. It ignores the environment and does not retry.
func (s *SeaweedFSServer) Config() aws.Config { return s.config(s.AccessKey, s.SecretKey) }

func (s *SeaweedFSServer) config(access, key string) aws.Config {
	return aws.Config{
		Region:           s.Region,
		BaseEndpoint:     &s.Endpoint,
		Credentials:      credentials.NewStaticCredentialsProvider(access, key, ""),
		RetryMaxAttempts: 1,
		HTTPClient:       http.DefaultClient,
	}
}

// S3 returns an S3 client with the keys of a user who may do everything.
func (s *SeaweedFSServer) S3() *s3.Client {
	return s3.NewFromConfig(s.config(s.owner, s.owner), func(o *s3.Options) { o.UsePathStyle = true })
}

// Stop ends the server, so that connections to it are refused.
func (s *SeaweedFSServer) Stop() { s.proc.stop() }

// Log returns the server's log, which says why it refused.
func (s *SeaweedFSServer) Log() string { return s.proc.output() }
