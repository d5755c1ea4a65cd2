package testenv

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// NginxServer is a running nginx.
type NginxServer struct {
	Address string // 127.0.0.1:PORT
	dir     string
}

// NginxOptions is what the one server of an nginx does.
type NginxOptions struct {
	// Server is the directives of its server block, beside listen.
	Server string
	// TLS makes it listen with TLS, by server.pem and server.key of Files.
	TLS bool
	// Files are written to the folder that its paths are relative to.
	Files map[string][]byte
}

// Nginx starts an nginx. It must be installed.
func Nginx(t testing.TB, o NginxOptions) *NginxServer {
	t.Helper()
	path, err := exec.LookPath("nginx")
	if err != nil {
		path = "/usr/sbin/nginx" // which is not on everybody's PATH
	}
	s := &NginxServer{dir: tempDir(t)}
	for name, content := range o.Files {
		s.put(t, name, content)
	}
	launch(t, server{
		name: "nginx",
		command: func(port int) command {
			s.Address = address(port)
			s.put(t, "nginx.conf", []byte(s.config(o)))
			return command{path: path, args: []string{"-p", s.dir, "-e", "stderr", "-c", filepath.Join(s.dir, "nginx.conf")}, dir: s.dir}
		},
		ready: s.ready,
	})
	return s
}

func (s *NginxServer) put(t testing.TB, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), content, 0o600); err != nil {
		t.Fatalf("start nginx: %v", err)
	}
}

func (s *NginxServer) config(o NginxOptions) string {
	user, secure := "", ""
	if os.Geteuid() == 0 {
		user = "user root;" // the folder is the test's alone
	}
	if o.TLS {
		secure = "ssl; ssl_certificate server.pem; ssl_certificate_key server.key"
	}
	return fmt.Sprintf(`
daemon off; master_process off; pid nginx.pid; error_log stderr warn; %[1]s
events {}
http {
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    server {
        listen %[2]s %[3]s;
        location = /ready/%[4]s { return 204; }
        %[5]s
    }
}
`, user, s.Address, secure, filepath.Base(s.dir), o.Server)
}

// ready asks for what no other server has.
func (s *NginxServer) ready(ctx context.Context, p *process) error {
	if _, err := os.Stat(filepath.Join(s.dir, "nginx.pid")); err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Address+"/ready/"+filepath.Base(s.dir), nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	// A server of TLS says 400 to who speaks none.
	if answer.StatusCode != http.StatusNoContent && answer.StatusCode != http.StatusBadRequest {
		return fmt.Errorf("expected status 204, got %d", answer.StatusCode)
	}
	return nil
}
