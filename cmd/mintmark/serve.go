package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"mintmark/broker"
	"mintmark/cmd/mintmark/follow"
	"mintmark/internal/owned"
)

func serveCommand() *cobra.Command {
	var dir, level string
	cmd := &cobra.Command{
		Use:   "serve --dir DIR",
		Short: "Serve agents by the registrations and policies in a directory",
		Long: `Serve reads mintmark.yaml and *.cedar in DIR and serves agents.

A change of the files is applied at once, whole or not at all; a change that
can't be applied is refused with its reason, and the old state stays in force.
Where a change gives no notice (a file behind a symbolic link, a directory that
was replaced) it is found within 30 s, or at once by SIGHUP. Listeners, trust,
audit and limits change only at a restart.

SIGINT or SIGTERM ends it: /readyz answers 503, calls are still taken for
limits.shutdown_delay (none), those under way get limits.shutdown (10 s) to end,
then leases are revoked and the log is closed. The next signal ends the delay,
and one after that the process at once, which leaves its leases to their own
expiry.

The log goes to stderr, one JSON object a line. What ends it is said there too:
as a line of the log, or on a terminal as every other command says it.`,
		Example: "  mintmark check /etc/mintmark && mintmark serve --dir /etc/mintmark",
		Args:    none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			logger, err := newLogger(cmd, level)
			if err != nil {
				return err
			}
			err = serve(cmd.Context(), dir, logger)
			if err == nil || onTerminal(cmd.ErrOrStderr()) {
				return err
			}
			logFailure(cmd.Context(), logger, err)
			return errSilent
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "the directory with mintmark.yaml and *.cedar (required)")
	cmd.Flags().StringVar(&level, "log-level", "info", "debug, info, warn or error; debug logs allowed calls too")
	required(cmd, "dir")
	return cmd
}

func newLogger(cmd *cobra.Command, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level: expected debug, info, warn or error, got %q", level)
	}
	return slog.New(slog.NewJSONHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: l})), nil
}

// onTerminal reports whether a person reads what is written to out, and no program.
func onTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// logFailure says why the broker does not serve, or did not end well: each fault of
// a file is a line of its own, as each has its own position.
func logFailure(ctx context.Context, logger *slog.Logger, err error) {
	lines := []string{err.Error()}
	if at, ok := errors.AsType[faults](err); ok {
		lines = at
	}
	for _, line := range lines {
		logger.ErrorContext(ctx, "serve failed", slog.String("err", line))
	}
}

// serve runs a broker until ctx ends. What is open is closed in order: the
// sockets, the leases, the log.
func serve(ctx context.Context, dir string, logger *slog.Logger) (err error) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP) // before anything is leased: by default it ends the process
	defer signal.Stop(hangup)
	directory, err := follow.Open(dir, follow.Options{Logger: logger}) // before the first reading
	if err != nil {
		if _, _, unread := load(dir); unread != nil {
			return unread // it says what was expected there
		}
		return err
	}
	defer func() { _ = directory.Close() }()
	bd, _, err := load(dir) // with its policies, so that nothing is opened for a directory at fault
	if err != nil {
		return err
	}
	guarded, err := guardMemory(bd.Config.Trust.WorkloadAPI) // before there is a secret in it
	if err != nil {
		logger.WarnContext(ctx, "memory not guarded: set the limit of core dumps to 0 from outside", slog.Any("err", err))
	}
	record := string(bd.Config.Audit.Directory)
	if err := refuseRoot(owned.Me(), record); err != nil { // a container may have no other user
		logger.WarnContext(ctx, "root serves in another user's directory: a broker of that user can't use the record that is made", slog.Any("err", err))
	}
	b, err := broker.Open(ctx, broker.Options{Bundle: bd, Kinds: kinds(), Logger: logger})
	if ctx.Err() != nil && errors.Is(err, context.Canceled) { // as any other stop, and no failure
		logger.InfoContext(ctx, "stopped before it served", slog.Any("while", err))
		return nil
	}
	if err != nil {
		return placed(dir, whose(err, record))
	}
	logger.InfoContext(ctx, "serving", slog.String("version", version), slog.String("dir", bd.Dir), slog.String("bundle", bd.Digest), slog.Int("pid", os.Getpid()), slog.Bool("memory_guarded", guarded))
	delay := bd.Config.Limits.ShutdownDelay.Duration
	going, end := linger(ctx, delay, func() {
		b.Drain()
		logger.InfoContext(ctx, "stopping: calls are taken for the delay, or until the next signal", slog.Duration("shutdown_delay", delay))
	})
	defer end()
	ended, err := attend(going, b, directory, hangup)
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeLimit(bd.Config.Limits.Shutdown.Duration, time.Since(ended)))
	defer cancel()
	err = errors.Join(err, b.Close(closing))
	logger.InfoContext(ctx, "stopped")
	return err
}

// attend serves, and follows the directory, until ctx ends or a listener fails,
// and returns when that was.
func attend(ctx context.Context, b *broker.Broker, directory *follow.Directory, asked <-chan os.Signal) (ended time.Time, err error) {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return b.Run(ctx) })
	group.Go(func() error {
		collectRarely(ctx)
		return nil
	})
	group.Go(func() error {
		directory.Run(ctx, b, asked)
		return nil
	})
	<-ctx.Done()
	ended = time.Now()
	return ended, group.Wait()
}

// closeLimit is how long closing may take, of which some is spent already:
// what calls under way get, and 10 s for the leases; together less than the
// 30 s after which systemd and Kubernetes kill. However long the calls took, 3 s
// are left to revoke.
func closeLimit(shutdown, spent time.Duration) time.Duration {
	return max(min(shutdown+10*time.Second, 28*time.Second)-spent, 3*time.Second)
}
