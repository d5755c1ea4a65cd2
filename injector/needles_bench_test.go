package injector

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// BenchmarkNeedles is the search of an answer for what 10,000 others were served with,
// by how their tokens begin.
func BenchmarkNeedles(b *testing.B) {
	for _, tokens := range []struct {
		name string
		of   func(seed uint64) string
	}{
		{"one beginning", randomToken},
		{"no beginning", func(seed uint64) string { return randomToken(seed)[4:] }},
		{"JWT", func(seed uint64) string {
			return "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6IjEifQ.eyJpc3MiOiJodHRwczovL2FzLmV4YW1wbGUub3JnIiw" + strings.Repeat(randomToken(seed)[4:], 20)
		}},
	} {
		for _, count := range []int{100, 10_000} {
			secrets := make([]*Secrets, count)
			for i := range secrets {
				secrets[i] = secretsFrom(tokens.of(uint64(i)))
			}
			before, all := inUse(), NewNeedles()
			for _, one := range secrets {
				all.Add(one)
			}
			each := float64(inUse()-before) / float64(count)
			b.Run(fmt.Sprintf("%s/%d", tokens.name, count), func(b *testing.B) {
				s, at := besideAll(all), int64(0) // the search for the own one is BenchmarkScrub
				body := append(answerOf(64<<10), '\n')
				b.SetBytes(int64(len(body)))
				b.ReportAllocs()
				for b.Loop() {
					at += int64(len(body))
					if s.beside.next(s, body, at); s.beside.held(at) < at {
						b.Fatal("lost bytes")
					}
				}
				b.ReportMetric(each, "B/credential")
			})
			runtime.KeepAlive(secrets)
		}
	}
}

// inUse returns how many bytes of memory are.
func inUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkNeedlesAdd is what each lease costs once, among 10,000.
func BenchmarkNeedlesAdd(b *testing.B) {
	all := NewNeedles()
	for i := range 10_000 {
		all.Add(secretsFrom(randomToken(uint64(i))))
	}
	one := secretsFrom(randomToken(1 << 20))
	b.ReportAllocs()
	for b.Loop() {
		all.Add(one)
		all.Remove(one)
	}
}
