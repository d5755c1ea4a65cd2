//go:build e2e

package testenv_test

import (
	"errors"
	"fmt"
	"net/http"
	"syscall"
	"testing"
	"time"

	vault "github.com/hashicorp/vault/api"
	"github.com/jackc/pgx/v5"

	"mintmark/internal/testenv"
)

func TestOpenBaoKeepsSecrets(t *testing.T) {
	t.Parallel()
	bao := testenv.OpenBao(t)
	bao.PutKV(t, "github", map[string]any{"token": "hidden"})
	client := bao.Client(t)
	read := func() (any, error) {
		secret, err := client.KVv2("secret").Get(t.Context(), "github")
		if err != nil {
			return nil, err
		}
		return secret.Data["token"], nil
	}

	if got, err := read(); err != nil || got != "hidden" {
		t.Fatalf("read: got %v, %v, want hidden", got, err)
	}
	bao.Seal(t)
	var refused *vault.ResponseError
	if _, err := read(); !errors.As(err, &refused) || refused.StatusCode != http.StatusServiceUnavailable {
		t.Fatalf("read while sealed: got %v, want status 503", err)
	}
	bao.Unseal(t)
	if got, err := read(); err != nil || got != "hidden" {
		t.Fatalf("read when unsealed again: got %v, %v, want hidden", got, err)
	}
	bao.Stop()
	if _, err := read(); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("read when gone: got %v, want a refused connection", err)
	}
}

func TestOpenBaoMakesDatabaseUsers(t *testing.T) {
	t.Parallel()
	bao, pg := testenv.OpenBao(t), testenv.Postgres(t)
	bao.DatabaseRole(t, pg, "reader", time.Minute)
	bao.DatabaseRole(t, pg, "auditor", time.Minute)

	creds, err := bao.Client(t).Logical().ReadWithContext(t.Context(), "database/creds/reader")
	if err != nil {
		t.Fatal(err)
	}
	if creds.LeaseDuration != 60 {
		t.Errorf("lease: got %d s, want 60 s", creds.LeaseDuration)
	}
	dsn := fmt.Sprintf("postgres://%s:%s@%s:%d/%s?sslmode=disable",
		creds.Data["username"], creds.Data["password"], pg.Host, pg.Port, pg.Database)
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatalf("log in as the made user: %v", err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
