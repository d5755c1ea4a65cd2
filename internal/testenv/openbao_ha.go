package testenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	vault "github.com/hashicorp/vault/api"
)

// OpenBaoPair starts two unsealed nodes of one OpenBao that keep everything in
// Raft: the first is active, the other its standby. Without one another neither
// is active.
func OpenBaoPair(t testing.TB) (active, standby *OpenBaoServer) {
	t.Helper()
	active, standby = startNode(t, "one"), startNode(t, "two")
	made, err := active.client.Sys().InitWithContext(t.Context(), &vault.InitRequest{SecretShares: 1, SecretThreshold: 1})
	if err != nil {
		t.Fatalf("initialise OpenBao: %v", err)
	}
	for _, node := range []*OpenBaoServer{active, standby} {
		node.RootToken = made.RootToken
		node.client.SetToken(made.RootToken)
	}
	active.unsealAs(t, made.Keys[0], false)
	if _, err := standby.client.Logical().WriteWithContext(t.Context(), "sys/storage/raft/join", map[string]any{"leader_api_addr": active.Addr}); err != nil {
		t.Fatalf("join OpenBao: %v", err)
	}
	standby.unsealAs(t, made.Keys[0], true)
	active.MountKV(t)
	return active, standby
}

// startNode starts a node that is neither initialised nor unsealed.
func startNode(t testing.TB, id string) *OpenBaoServer {
	t.Helper()
	program, dir := chosenVault(t), tempDir(t)
	s := &OpenBaoServer{Namespaces: program.namespaces, program: program.path}
	s.proc = launch(t, server{
		name: program.name,
		command: func(port int) command {
			s.Addr = "http://" + address(port)
			config, data := filepath.Join(dir, fmt.Sprintf("%d.hcl", port)), filepath.Join(dir, fmt.Sprintf("data-%d", port))
			if err := os.Mkdir(data, 0o700); err != nil {
				t.Fatalf("make folder: %v", err)
			}
			write(t, config, fmt.Sprintf(`
				storage "raft" {
				  path    = %[1]q
				  node_id = %[2]q
				}
				listener "tcp" {
				  address         = %[3]q
				  cluster_address = %[4]q
				  tls_disable     = true
				}
				api_addr     = "http://%[3]s"
				cluster_addr = "https://%[4]s"
			`, data, id, address(port), address(FreePort(t))))
			return command{path: program.path, dir: dir, args: []string{"server", "-config=" + config}}
		},
		ready: func(ctx context.Context, _ *process) error {
			client, err := s.open()
			if err != nil {
				return err
			}
			s.client = client
			_, err = client.Sys().InitStatusWithContext(ctx)
			return err
		},
	})
	return s
}

// unsealAs unseals a node, and returns when it is what it is to be.
func (s *OpenBaoServer) unsealAs(t testing.TB, key string, standby bool) {
	t.Helper()
	err := s.proc.await(t.Context(), func(ctx context.Context) error {
		if _, err := s.client.Sys().UnsealWithContext(ctx, key); err != nil { // it has not joined yet
			return err
		}
		health, err := s.client.Sys().HealthWithContext(ctx)
		if err == nil && (health.Sealed || health.Standby != standby) {
			err = errors.New("it is sealed, or the other kind of node")
		}
		return err
	})
	if err != nil {
		t.Fatalf("unseal OpenBao: %v", err)
	}
}
