package audit_test

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"mintmark/broker/audit"
)

// BenchmarkAppend appends decisions of the usual size. cpu-ns/op is the CPU
// time of the whole process, the writer, the syncer and the kernel included.
func BenchmarkAppend(b *testing.B) {
	for _, callers := range []int{1, 16} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) { benchmarkAppend(b, callers, audit.Options{}) })
	}
	b.Run("callers=16,sync=always", func(b *testing.B) { benchmarkAppend(b, 16, audit.Options{SyncAlways: true}) })
}

func benchmarkAppend(b *testing.B, callers int, o audit.Options) {
	o.Directory = b.TempDir()
	l := mustOpen(b, o)
	template := decision(1)
	b.ReportAllocs()
	b.ResetTimer()
	before := cpuTime(b)
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := c; i < b.N; i += callers {
				rec := *template
				if _, err := l.Append(context.Background(), &rec); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
	stats := l.Stats()
	b.SetBytes(int64(stats.Bytes / max(1, stats.Records)))
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkVerify(b *testing.B) {
	dir := b.TempDir()
	l := mustOpen(b, audit.Options{Directory: dir})
	const n = 10_000
	for i := range n {
		l.Note(decision(i))
	}
	mustClose(b, l)
	b.ResetTimer()
	for b.Loop() {
		mustVerify(b, dir)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/record")
}

func BenchmarkQuery(b *testing.B) {
	dir := b.TempDir()
	l := mustOpen(b, audit.Options{Directory: dir})
	const n = 10_000
	for i := range n {
		l.Note(decision(i))
	}
	mustClose(b, l)
	b.ResetTimer()
	for b.Loop() {
		if got := len(records(b, dir, audit.Filter{Credential: "cred-77"})); got != 1 {
			b.Fatalf("got %d records, want 1", got)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/record")
}
