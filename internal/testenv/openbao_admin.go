package testenv

import (
	"context"
	"errors"
	"strings"
	"testing"

	vault "github.com/hashicorp/vault/api"
)

// Write writes to any path as root, and returns the answer, which may be nil.
func (s *OpenBaoServer) Write(t testing.TB, path string, data map[string]any) *vault.Secret {
	t.Helper()
	answer, err := s.client.Logical().WriteWithContext(t.Context(), path, data)
	var refused *vault.ResponseError
	if errors.As(err, &refused) {
		t.Fatalf("write %s: %s", path, strings.Join(refused.Errors, "; "))
	}
	if err != nil {
		t.Fatalf("write %s: %v", path, err)
	}
	return answer
}

// Wrap is Write whose answer is wrapped: it returns the wrapping token.
func (s *OpenBaoServer) Wrap(t testing.TB, path string, data map[string]any) string {
	t.Helper()
	client := s.Client(t)
	client.SetWrappingLookupFunc(func(_, _ string) string { return "5m" })
	answer, err := client.Logical().WriteWithContext(t.Context(), path, data)
	if err != nil || answer == nil || answer.WrapInfo == nil {
		t.Fatalf("write %s wrapped: %v", path, err)
	}
	return answer.WrapInfo.Token
}

// EnableAuth mounts an auth method under its own name, if none is there.
func (s *OpenBaoServer) EnableAuth(t testing.TB, kind string) {
	t.Helper()
	mounts, err := s.client.Sys().ListAuthWithContext(t.Context())
	if err != nil {
		t.Fatalf("list auth methods: %v", err)
	}
	if mounts[kind+"/"] == nil {
		s.Write(t, "sys/auth/"+kind, map[string]any{"type": kind})
	}
}

// In returns the same server, seen from a namespace that it makes.
func (s *OpenBaoServer) In(t testing.TB, namespace string) *OpenBaoServer {
	t.Helper()
	s.Write(t, "sys/namespaces/"+namespace, map[string]any{})
	inner := *s
	inner.client = s.client.WithNamespace(namespace)
	return &inner
}

// MountKV mounts a version 2 key-value engine at secret/, and returns when it
// serves.
func (s *OpenBaoServer) MountKV(t testing.TB) {
	t.Helper()
	s.Write(t, "sys/mounts/secret", map[string]any{"type": "kv", "options": map[string]any{"version": "2"}})
	err := s.proc.await(t.Context(), func(ctx context.Context) error {
		_, err := s.client.Logical().ReadWithContext(ctx, "secret/config")
		return err
	})
	if err != nil {
		t.Fatalf("mount key-value engine: %v", err)
	}
}
