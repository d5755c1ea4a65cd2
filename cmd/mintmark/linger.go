package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// linger returns a context that ends delay after ctx, or at the second signal that ends
// the program: a balancer that goes by /readyz needs a while to notice what drain says
// there, and sends calls until then. The next signal is not caught. The caller calls
// end once it is done.
func linger(ctx context.Context, delay time.Duration, drain func()) (later context.Context, end func()) {
	if delay == 0 {
		return ctx, func() {}
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM) // now: the first one is among them
	later, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		drain()
		wait(later, delay, signals)
		signal.Stop(signals)
		cancel()
	})
	return later, func() {
		stop()
		signal.Stop(signals)
		cancel()
	}
}

// wait returns after delay, at the second signal, or when ctx ends.
func wait(ctx context.Context, delay time.Duration, signals <-chan os.Signal) {
	ctx, cancel := context.WithTimeout(ctx, delay)
	defer cancel()
	for range 2 {
		select {
		case <-signals:
		case <-ctx.Done():
			return
		}
	}
}
