package testenv

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"mintmark/internal/trustdomain"
)

// KubernetesServer is a running Kubernetes API server on an etcd of its own, with
// RBAC. No node runs a pod, and no controller makes anything: an object is there
// when a test creates it.
type KubernetesServer struct {
	Addr string // https://127.0.0.1:PORT
	CA   string // PEM file of its authority
	// Audience is that of tokens for the API server itself, and its issuer.
	Audience string
	// Admin is a token that may do anything.
	Admin string
	// Domain are whose identities it takes beside its own tokens: who shows an
	// X.509-SVID is its common name, who shows a JWT-SVID for "kubernetes" is its
	// SPIFFE ID.
	Domain *trustdomain.Domain

	dir    string
	client *http.Client
	proc   *process
}

// KubernetesMaxLife is the longest life that the server gives a token.
const KubernetesMaxLife = 2 * time.Hour

// Kubernetes starts an etcd and an API server. It takes client certificates of
// the authorities in trusted too, which are PEM.
func Kubernetes(t testing.TB, trusted ...string) *KubernetesServer {
	t.Helper()
	s := &KubernetesServer{Audience: "https://kubernetes.default.svc", dir: tempDir(t), Admin: secret()}
	s.CA = filepath.Join(s.dir, "ca.pem")
	s.trust(t, strings.Join(trusted, ""))
	store := etcd(t)
	program := filepath.Join(programs(t, "kube-apiserver"), "kube-apiserver")
	s.proc = launch(t, server{
		name: "kube-apiserver",
		command: func(port int) command {
			s.Addr = "https://" + address(port)
			return command{path: program, args: s.flags(store, port), dir: s.dir}
		},
		ready: func(ctx context.Context, _ *process) error {
			// The authority and the token are of this server alone.
			status, answer, err := s.call(ctx, s.Admin, http.MethodGet, "/readyz", nil)
			if err == nil && status != http.StatusOK {
				err = fmt.Errorf("readyz: status %d: %s", status, answer)
			}
			return err
		},
	})
	return s
}

// Stop ends the API server, so that connections to it are refused.
func (s *KubernetesServer) Stop() { s.proc.stop() }

// etcd starts an etcd and returns where it listens.
func etcd(t testing.TB) string {
	t.Helper()
	program, dir := filepath.Join(programs(t, "etcd"), "etcd"), tempDir(t)
	p := launch(t, server{
		name: "etcd",
		command: func(port int) command {
			listen := "http://" + address(port)
			data := filepath.Join(dir, strconv.Itoa(port))
			return command{path: program, dir: dir, args: []string{"--data-dir=" + data, "--listen-client-urls=" + listen,
				"--advertise-client-urls=" + listen, "--listen-peer-urls=http://127.0.0.1:0", "--unsafe-no-fsync"}}
		},
		ready: func(_ context.Context, p *process) error {
			if !strings.Contains(p.output(), "serving client traffic insecurely") {
				return errors.New("it does not say that it serves")
			}
			return nil
		},
	})
	return "http://" + address(p.port)
}

func (s *KubernetesServer) flags(store string, port int) []string {
	return []string{
		"--etcd-servers=" + store,
		"--bind-address=127.0.0.1", "--secure-port=" + strconv.Itoa(port), "--advertise-address=127.0.0.1",
		"--tls-cert-file=" + s.file("server.pem"), "--tls-private-key-file=" + s.file("server.key"),
		"--service-cluster-ip-range=10.0.0.0/24", "--endpoint-reconciler-type=none",
		"--authorization-mode=RBAC",
		"--token-auth-file=" + s.file("tokens.csv"), "--client-ca-file=" + s.file("clients.pem"), "--authentication-config=" + s.file("authentication.json"),
		"--service-account-issuer=" + s.Audience,
		"--service-account-key-file=" + s.file("accounts.key"), "--service-account-signing-key-file=" + s.file("accounts.key"),
		"--service-account-max-token-expiration=" + KubernetesMaxLife.String(),
	}
}

// trust makes whom the server believes and what it shows, in files.
func (s *KubernetesServer) trust(t testing.TB, more string) {
	t.Helper()
	issuer := httptest.NewUnstartedServer(nil)
	url := "https://" + issuer.Listener.Addr().String()
	s.Domain = trustdomain.New("kubernetes.test", trustdomain.Options{Issuer: url})
	shown, err := s.Domain.X509SVID(s.Domain.ID("server"), trustdomain.X509Request{Hosts: []string{"127.0.0.1"}})
	if err != nil {
		t.Fatalf("certify kube-apiserver: %v", err)
	}
	issuer.Config.Handler = s.Domain.Handler()
	issuer.TLS = &tls.Config{Certificates: []tls.Certificate{trustdomain.TLSCertificate(shown)}, MinVersion: tls.VersionTLS12}
	issuer.StartTLS()
	t.Cleanup(issuer.Close)

	authority := s.Domain.Bundle().X509Authorities()[0]
	roots := x509.NewCertPool()
	roots.AddCert(authority)
	s.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
	t.Cleanup(s.client.CloseIdleConnections)
	certificate, key, err := shown.Marshal()
	if err != nil {
		t.Fatalf("certify kube-apiserver: %v", err)
	}
	root := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.Raw}))
	write(t, s.CA, root)
	write(t, s.file("clients.pem"), root+more)
	write(t, s.file("server.pem"), string(certificate))
	write(t, s.file("server.key"), string(key))
	write(t, s.file("tokens.csv"), s.Admin+",admin,1,system:masters\n")
	write(t, s.file("accounts.key"), accountsKey(t))
	write(t, s.file("authentication.json"), authentication(t, url, root))
}

func (s *KubernetesServer) file(name string) string { return filepath.Join(s.dir, name) }

// accountsKey returns the key that signs tokens of service accounts.
func accountsKey(t testing.TB) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatalf("make key: %v", err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatalf("make key: %v", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
}

// authentication says which JWTs the server takes beside its own tokens.
func authentication(t testing.TB, issuer, root string) string {
	t.Helper()
	text, err := json.Marshal(map[string]any{
		"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration",
		"jwt": []any{map[string]any{
			"issuer":        map[string]any{"url": issuer, "audiences": []string{"kubernetes"}, "certificateAuthority": root},
			"claimMappings": map[string]any{"username": map[string]any{"claim": "sub", "prefix": ""}},
		}},
	})
	if err != nil {
		t.Fatalf("write configuration: %v", err)
	}
	return string(text)
}
