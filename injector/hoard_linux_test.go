package injector

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// disguise makes a text what the process's memory may be searched for without it being
// there for the search.
func disguise(text []byte) []byte {
	for i := range text {
		text[i] ^= 0xa5
	}
	return text
}

// disguisedForms returns a secret and some of its forms, disguised: none that an encoder
// of JSON or URLs makes, which leaves garbage of its own.
func disguisedForms() (secret []byte, forms map[string][]byte) {
	secret = make([]byte, 33)
	_, _ = rand.Read(secret)
	for i := range secret {
		secret[i] = "abcdefghijklmnopqrstuvwxyzABCDEF+/-"[int(secret[i])%35]
	}
	wide := make([]byte, 0, 2*len(secret))
	for _, c := range secret {
		wide = append(wide, c, 0)
	}
	forms = map[string][]byte{
		"hex":    disguise(hex.AppendEncode(nil, secret)),
		"base64": disguise(base64.StdEncoding.AppendEncode(nil, secret)),
		"UTF-16": disguise(wide[:len(wide)-1]),
	}
	return disguise(secret), forms
}

// memory is a search of all that the process may write to.
type memory struct {
	t   *testing.T
	mem *os.File
	buf []byte // shared, so that it is not searched itself
}

func openMemory(t *testing.T) memory {
	t.Helper()
	mem, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Fatal(err)
	}
	buf, err := syscall.Mmap(-1, 0, 1<<20, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED|syscall.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = errors.Join(mem.Close(), syscall.Munmap(buf)) })
	return memory{t, mem, buf}
}

// count returns how often each of the disguised texts is there.
func (m memory) count(texts map[string][]byte) map[string]int {
	m.t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		m.t.Fatal(err)
	}
	found := map[string]int{}
	for lines := bufio.NewScanner(bytes.NewReader(maps)); lines.Scan(); {
		var from, to int64
		var may string
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x %s", &from, &to, &may); err != nil || may != "rw-p" || strings.Contains(lines.Text(), "[v") {
			continue
		}
		for at := from; at < to; at += int64(len(m.buf)) - 256 { // what lies across two is in the next, and may count twice
			n, err := m.mem.ReadAt(m.buf[:min(int64(len(m.buf)), to-at)], at)
			if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, syscall.EIO) {
				m.t.Fatal(err)
			}
			part := disguise(m.buf[:n])
			for name, text := range texts {
				found[name] += bytes.Count(part, text)
			}
			clear(part)
		}
	}
	return found
}

// awaitNone collects garbage until none of the texts is there.
func (m memory) awaitNone(texts map[string][]byte) {
	m.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		runtime.GC()
		left := m.count(texts)
		none := true
		for _, n := range left {
			none = none && n == 0
		}
		if none {
			return
		}
		if time.Now().After(deadline) {
			m.t.Fatalf("nobody has them any more: got %v in memory, want none", left)
		}
	}
}

// masks has a scrubber find a disguised text, and reports whether it masked that.
func masks(s *Scrubber, text []byte) bool {
	answer := disguise(bytes.Clone(text))
	out := s.Message(answer)
	masked := bytes.Count(out, []byte{mask}) == len(text)
	clear(answer)
	clear(out)
	return masked
}

// revealed returns the Secrets of a disguised secret.
func revealed(secret []byte) *Secrets { return secretsOfParts(disguise(bytes.Clone(secret))) }

func TestFormsAreOverwrittenOnceNobodyHasThem(t *testing.T) {
	secret, forms := disguisedForms()
	m := openMemory(t)
	all := NewNeedles()
	s := revealed(secret)
	all.Add(s)
	for name, n := range m.count(forms) {
		if n == 0 {
			t.Errorf("%s: got none in memory while it is looked for: the search is blind", name)
		}
	}
	// An answer that is still searched keeps what it is searched for.
	own := s.NewScrubber()
	own.Beside(all)
	all.Remove(s)
	s = nil
	for range 3 {
		runtime.GC()
	}
	for name, form := range forms {
		if !masks(own, form) {
			t.Errorf("%s: came through an answer that began before", name)
		}
	}
	own = nil
	m.awaitNone(forms)
	runtime.KeepAlive(all)
}

// An answer that goes on keeps none of the forms of what it showed and is searched for no
// more.
func TestAnAnswerKeepsNoFormsOfWhatItShowed(t *testing.T) {
	for _, beside := range []bool{true, false} {
		t.Logf("beside %t", beside)
		secret, forms := disguisedForms()
		m := openMemory(t)
		all, own, old := NewNeedles(), secretsFrom("first-secret-0001"), revealed(secret)
		old.Named("the old one")
		all.Add(old)
		var l later
		s := own.NewScrubber(old)
		if beside {
			s = own.NewScrubber()
		}
		s.Watch(&l, 0)
		s.Beside(all)
		if !masks(s, secret) {
			t.Errorf("beside %t: came through", beside)
		}
		all.Remove(old)
		old = nil
		l.are(own)
		s.Message([]byte("and what is none"))
		m.awaitNone(forms)
		if s.OfOthers() != "the old one" {
			t.Errorf("beside %t: got a hit of %q", beside, s.OfOthers())
		}
		runtime.KeepAlive(all)
	}
}
