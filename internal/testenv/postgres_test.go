//go:build e2e

package testenv_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"mintmark/internal/testenv"
)

func TestPostgresAnswers(t *testing.T) {
	t.Parallel()
	pg := testenv.Postgres(t)
	conn, err := pgx.Connect(t.Context(), pg.DSN)
	if err != nil {
		t.Fatal(err)
	}
	var one int
	if err := conn.QueryRow(t.Context(), "select 1").Scan(&one); err != nil || one != 1 {
		t.Fatalf("select 1: got %d, %v", one, err)
	}
	pg.Stop()
	if err := conn.Ping(t.Context()); err == nil {
		t.Fatal("ping after Stop: got no error")
	}
}
