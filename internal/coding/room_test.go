package coding_test

import (
	"bytes"
	"io"
	"runtime"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"

	"mintmark/internal/coding"
	"mintmark/internal/testenv"
)

// hungry are beginnings that have a decoder make room for a whole window, in few bytes.
func hungry(t *testing.T) map[string][]byte {
	t.Helper()
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b, zstd.WithWindowSize(8<<20), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = z.Write([]byte("x"))
	_ = z.Flush()
	// A window of 2^24, and a block of 16 MiB that is not compressed (RFC 7932, 9.2).
	return map[string][]byte{"zstd": b.Bytes(), "br": []byte("\xcf\xff\xff\xffx")}
}

// unending is a body that says no more than its beginning, and does not end.
func unending(begin []byte) io.ReadCloser {
	out, in := io.Pipe()
	go func() { _, _ = in.Write(begin) }()
	return out
}

// Answers of a few bytes that are under way at once hold no more than their room, and
// give it back when they end or are closed.
func TestManyHungryAnswersAreBounded(t *testing.T) {
	const size = 64 << 20
	for name, begin := range hungry(t) {
		for _, nested := range []bool{false, true} {
			codings, in := []string{name}, begin
			if nested && name == "br" {
				codings, in = []string{name, name}, slices.Concat([]byte("\xcf\xff\xff\xff"), begin)
			}
			room := coding.NewRoom(size)
			for range 2 {
				manyHungry(t, name, room, size, func() *coding.Reader { return coding.NewReader(unending(in), codings, room) })
			}
			if got, err := io.ReadAll(coding.NewReader(io.NopCloser(bytes.NewReader(testenv.Encode(name, text()))), []string{name}, room)); err != nil || !bytes.Equal(got, text()) {
				t.Errorf("%s, when the others have ended: got %d bytes, %v", name, len(got), err)
			}
		}
	}
}

func manyHungry(t *testing.T, name string, room *coding.Room, size uint64, open func() *coding.Reader) {
	t.Helper()
	before := inUse()
	var all []*coding.Reader
	refused := 0
	for range 64 {
		r := open()
		all = append(all, r)
		switch n, err := r.Read(make([]byte, 1)); {
		case err != nil:
			wantReason(t, name, err, "no room")
			refused++
		case n != 1:
			t.Errorf("%s: got %d bytes, want 1", name, n)
		}
	}
	if took := inUse() - min(before, inUse()); took > size+size/4 || refused == 0 || refused == 64 {
		t.Errorf("%s: 64 answers took %d MiB and %d were refused, want at most %d MiB and the rest refused", name, took>>20, refused, size>>20)
	}
	for _, r := range all {
		_ = r.Close()
		if _, err := r.Read(make([]byte, 1)); err == nil {
			t.Errorf("%s: got no error of a body that was closed", name)
		}
	}
}

// A body that is closed before it is read takes no room any more.
func TestAClosedBodyTakesNoRoom(t *testing.T) {
	room := coding.NewRoom(1 << 20)
	for range 100 {
		r := coding.NewReader(io.NopCloser(bytes.NewReader(testenv.Encode("gzip", text()))), []string{"gzip"}, room)
		_ = r.Close()
		_, err := io.ReadAll(r)
		wantReason(t, "closed", err, "no room")
	}
	if _, err := io.ReadAll(coding.NewReader(io.NopCloser(bytes.NewReader(testenv.Encode("gzip", text()))), []string{"gzip"}, room)); err != nil {
		t.Errorf("got %v, want the room that was never taken", err)
	}
}

func inUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
