package testenv

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/template"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// CephServer is a running Ceph Object Gateway: S3, STS and as much of IAM as roles
// and OpenID providers need, at one endpoint. Its cluster is one monitor and one
// OSD that keeps everything in memory.
type CephServer struct {
	Endpoint  string // http://127.0.0.1:PORT
	Region    string // default, which is the name of its zone group
	AccessKey string // of the user broker, who may change roles and owns no bucket
	SecretKey string
	UserARN   string // of the user broker, for trust policies

	bin  string
	dir  string
	fsid string
	key  string // encrypts session tokens
	proc *process
}

// Ceph starts a Ceph Object Gateway without buckets and roles.
func Ceph(t testing.TB) *CephServer {
	t.Helper()
	s := &CephServer{
		Region: "default", AccessKey: secret(), SecretKey: secret(), UserARN: "arn:aws:iam:::user/broker",
		bin: programs(t, "ceph"), dir: tempDir(t), fsid: newUUID(), key: secret()[:16],
	}
	s.monitor(t)
	s.osd(t)
	// Before the gateway runs, so that no other gateway knows the keys.
	s.admin(t, "user", "create", "--uid=broker", "--display-name=broker",
		"--access-key="+s.AccessKey, "--secret-key="+s.SecretKey, "--caps=roles=*;oidc-provider=*;user-policy=*")
	s.proc = launch(t, server{
		name: "radosgw",
		command: func(port int) command {
			s.Endpoint = "http://" + address(port)
			args := []string{"--name=client.rgw", "--rgw_frontends=beast endpoint=" + address(port)}
			return s.daemon("radosgw", args...)
		},
		ready: func(ctx context.Context, _ *process) error {
			_, err := s.S3().ListBuckets(ctx, nil)
			return err
		},
	})
	return s
}

// monitor starts the monitor, which names itself by the port that it has.
func (s *CephServer) monitor(t testing.TB) {
	t.Helper()
	launch(t, server{
		name: "ceph-mon",
		command: func(port int) command {
			at := "v2:" + address(port)
			s.configure(t, at)
			s.prepare(t, "mon")
			output(t, filepath.Join(s.bin, "monmaptool"), "--create", "--clobber", "--fsid", s.fsid, "--addv", "a", "["+at+"]", s.file("monmap"))
			output(t, filepath.Join(s.bin, "ceph-mon"), "--mkfs", "--id=a", "--conf="+s.file("ceph.conf"), "--monmap="+s.file("monmap"))
			return s.daemon("ceph-mon", "--id=a")
		},
		ready: func(ctx context.Context, _ *process) error {
			return run(ctx, filepath.Join(s.bin, "ceph"), "--conf="+s.file("ceph.conf"), "--connect-timeout=5", "fsid")
		},
	})
}

// osd starts the OSD, which takes ports by itself.
func (s *CephServer) osd(t testing.TB) {
	t.Helper()
	id, conf := newUUID(), "--conf="+s.file("ceph.conf")
	s.prepare(t, "osd")
	output(t, filepath.Join(s.bin, "ceph"), conf, "osd", "new", id)
	output(t, filepath.Join(s.bin, "ceph-osd"), "--mkfs", "--id=0", "--osd-uuid="+id, conf)
	p := start(t, "ceph-osd", s.daemon("ceph-osd", "--id=0"))
	err := p.await(t.Context(), func(context.Context) error {
		if !strings.Contains(p.output(), "booting -> active") {
			return errors.New("it does not say that it is active")
		}
		return nil
	})
	if err != nil {
		t.Fatalf("start ceph-osd: %v; end of its log:\n%s", err, p.tail())
	}
}

func newUUID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // it never fails
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func (s *CephServer) prepare(t testing.TB, folder string) {
	t.Helper()
	if err := errors.Join(os.RemoveAll(s.file(folder)), os.Mkdir(s.file(folder), 0o700)); err != nil {
		t.Fatalf("start ceph: %v", err)
	}
}

func (s *CephServer) daemon(program string, args ...string) command {
	args = append(args, "--conf="+s.file("ceph.conf"), "-d")
	return command{path: filepath.Join(s.bin, program), args: args, dir: s.dir}
}

func (s *CephServer) file(name string) string { return filepath.Join(s.dir, name) }

// cephConfig has nobody prove who they are inside the cluster: all of it is on
// loopback. The gateway asks for an encryption there that only proof gives.
const cephConfig = `[global]
fsid = {{.FSID}}
mon_host = {{.Monitor}}
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
ms_mon_client_mode = crc
ms_bind_msgr1 = false
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
run_dir = {{.Dir}}
admin_socket =
keyring = {{.Dir}}/keyring
mon_data = {{.Dir}}/mon
mon_data_avail_crit = 0
mon_allow_pool_size_one = true
osd_data = {{.Dir}}/osd
osd_objectstore = memstore
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pgp_num = 1
osd_crush_chooseleaf_type = 0

[client.rgw]
rgw_s3_auth_use_sts = true
rgw_sts_key = {{.Key}}
rgw_enable_ops_log = true
rgw_ops_log_rados = false
rgw_ops_log_file_path = {{.Dir}}/ops.log
rgw_sts_min_session_duration = 1
`

func (s *CephServer) configure(t testing.TB, monitor string) {
	t.Helper()
	var text strings.Builder
	values := map[string]string{"FSID": s.fsid, "Monitor": monitor, "Dir": s.dir, "Key": s.key}
	if err := template.Must(template.New("ceph.conf").Parse(cephConfig)).Execute(&text, values); err != nil {
		t.Fatalf("configure ceph: %v", err)
	}
	write(t, s.file("ceph.conf"), text.String())
}

// Config returns the configuration of a client of this server with the keys of
// the user broker. It ignores the environment and does not retry.
func (s *CephServer) Config() aws.Config {
	return aws.Config{
		Region:           s.Region,
		BaseEndpoint:     &s.Endpoint,
		Credentials:      credentials.NewStaticCredentialsProvider(s.AccessKey, s.SecretKey, ""),
		RetryMaxAttempts: 1,
		HTTPClient:       http.DefaultClient,
	}
}

// S3 returns an S3 client with the keys of the user broker.
func (s *CephServer) S3() *s3.Client {
	return s3.NewFromConfig(s.Config(), func(o *s3.Options) { o.UsePathStyle = true })
}

// admin runs radosgw-admin and returns what it prints.
func (s *CephServer) admin(t testing.TB, args ...string) []byte {
	t.Helper()
	return output(t, filepath.Join(s.bin, "radosgw-admin"), append(args, "--name=client.rgw", "--conf="+s.file("ceph.conf"))...)
}

// Stop ends the gateway, so that connections to it are refused.
func (s *CephServer) Stop() { s.proc.stop() }

// Log returns the gateway's log, which says why it refused.
func (s *CephServer) Log() string { return s.proc.output() }
