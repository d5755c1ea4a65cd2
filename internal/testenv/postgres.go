package testenv

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

// PostgresServer is a running PostgreSQL with nothing but its standard
// databases in it.
type PostgresServer struct {
	Host     string // 127.0.0.1
	Port     int
	User     string // a superuser
	Password string
	Database string
	DSN      string // URL of the database, as User

	proc *process
}

// Postgres starts a PostgreSQL that only keeps what it must to be correct while
// it runs: a crash of the machine would lose its data.
func Postgres(t testing.TB) *PostgresServer {
	t.Helper()
	bin, dir := programs(t, "postgres"), tempDir(t)
	s := &PostgresServer{Host: "127.0.0.1", User: "postgres", Password: secret(), Database: "postgres"}
	owner := unprivileged(t)
	s.initialise(t, bin, dir, owner)
	s.proc = launch(t, server{
		name: "postgres",
		command: func(port int) command {
			return command{
				path: filepath.Join(bin, "postgres"),
				args: postgresArgs(dir, port),
				dir:  dir,
				user: owner,
				quit: syscall.SIGQUIT, // at once, but frees its shared memory
			}
		},
		ready: s.ping,
	})
	s.DSN = s.url(s.User, s.Password)
	return s
}

// unprivileged returns whom to run PostgreSQL as: it refuses to run as root.
// It is nil when the test does not run as root.
func unprivileged(t testing.TB) *syscall.Credential {
	t.Helper()
	if os.Getuid() != 0 {
		return nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		account, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(account.Uid, 10, 32)
		if err != nil {
			t.Fatalf("look up %s: %v", name, err)
		}
		gid, err := strconv.ParseUint(account.Gid, 10, 32)
		if err != nil {
			t.Fatalf("look up %s: %v", name, err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	t.Fatal("start postgres: it refuses to run as root, and there is no user postgres or nobody")
	return nil
}

// initialise makes the database files in dir.
func (s *PostgresServer) initialise(t testing.TB, bin, dir string, owner *syscall.Credential) {
	t.Helper()
	password := filepath.Join(dir, "password")
	write(t, password, s.Password)
	give(t, owner, dir, password)
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "initdb"),
		"--pgdata="+filepath.Join(dir, "data"), "--username="+s.User, "--pwfile="+password,
		"--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-sync", "--no-instructions")
	cmd.Dir = dir
	cmd.SysProcAttr = attributes(owner, syscall.SIGKILL)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("initialise postgres: %v:\n%s", err, out)
	}
}

// give makes owner, if any, the owner of the files.
func give(t testing.TB, owner *syscall.Credential, paths ...string) {
	t.Helper()
	if owner == nil {
		return
	}
	for _, path := range paths {
		if err := os.Chown(path, int(owner.Uid), int(owner.Gid)); err != nil {
			t.Fatalf("give %s away: %v", filepath.Base(path), err)
		}
	}
}

func postgresArgs(dir string, port int) []string {
	args := []string{"-D", filepath.Join(dir, "data")}
	for _, setting := range []string{
		"listen_addresses=127.0.0.1",
		fmt.Sprintf("port=%d", port),
		"unix_socket_directories=",
		"fsync=off",
		"full_page_writes=off",
		"synchronous_commit=off",
		"shared_buffers=16MB",
	} {
		args = append(args, "-c", setting)
	}
	return args
}

func (s *PostgresServer) ping(ctx context.Context, p *process) error {
	s.Port = p.port
	conn, err := pgx.Connect(ctx, s.url(s.User, s.Password))
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// url returns the URL of the database for user. Neither may hold a character
// that URLs reserve: the ones here do not.
func (s *PostgresServer) url(user, password string) string {
	return fmt.Sprintf("postgres://%s:%s@%s:%d/%s?sslmode=disable", user, password, s.Host, s.Port, s.Database)
}

// Stop ends the server, so that connections to it break or are refused.
func (s *PostgresServer) Stop() {
	s.proc.stop()
}
