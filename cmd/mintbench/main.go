// Command mintbench measures what Mintmark costs: the same calls go to an
// upstream directly, through a reverse proxy that only sets a header and through
// nginx, each as it comes and with kept connections, and through Mintmark with
// everything on, in turns, on one machine. It then reads Mintmark's record back
// and fails when a call is missing in it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"mintmark/internal/stdlog"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	stdlog.Hush(slog.New(slog.NewTextHandler(os.Stderr, nil)))
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run returns the exit status: 0, 1 when a figure would not be honest or could
// not be had, 2 for flags that cannot be used.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if serve, ok := servers()[first(args)]; ok {
		return status(serve(ctx, args[1:]), stderr)
	}
	o, err := parseOptions(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2 // said by the flag package
	}
	// The generator is not what is measured: let it collect less often.
	debug.SetGCPercent(800)
	r, err := measure(ctx, o, stderr)
	if err != nil {
		return status(err, stderr)
	}
	return status(r.write(stdout, o.json), stderr)
}

// servers are the parts that mintbench starts as processes of their own.
func servers() map[string]func(context.Context, []string) error {
	return map[string]func(context.Context, []string) error{
		"serve-upstream":            serveUpstream,
		"serve-issuer":              serveIssuer,
		"serve-" + reverseProxy:     serveReverseProxy,
		"serve-" + reverseProxyKept: serveReverseProxyKept,
	}
}

func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

func status(err error, stderr io.Writer) int {
	if err != nil {
		fmt.Fprintf(stderr, "mintbench: %v\n", err)
		return 1
	}
	return 0
}
