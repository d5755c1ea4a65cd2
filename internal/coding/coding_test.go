package coding_test

import (
	"bytes"
	"compress/flate"
	"errors"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"

	"mintmark/internal/coding"
	"mintmark/internal/testenv"
)

func text() []byte {
	var b bytes.Buffer
	for i := range 3000 {
		b.WriteString(strings.Repeat(string(rune('a'+i*7%26)), i%13))
		b.WriteByte(byte(i * i >> 3))
	}
	return b.Bytes()
}

func read(body io.Reader, codings ...string) ([]byte, error) {
	return io.ReadAll(coding.NewReader(io.NopCloser(body), codings, nil))
}

func TestParse(t *testing.T) {
	for _, tc := range []struct {
		values []string
		want   []string
		ok     bool
	}{
		{nil, nil, true},
		{[]string{"identity"}, nil, true},
		{[]string{"", " , ,"}, nil, true},
		{[]string{"GZip"}, []string{"gzip"}, true},
		{[]string{"x-gzip"}, []string{"gzip"}, true},
		{[]string{"br,\tidentity", "zstd "}, []string{"br", "zstd"}, true},
		{[]string{"deflate, gzip"}, []string{"deflate", "gzip"}, true},
		{[]string{"gzip, gzip, gzip"}, nil, false},
		{[]string{"compress"}, nil, false},
		{[]string{"aws-chunked"}, nil, true},
		{[]string{"gzip, AWS-Chunked"}, []string{"gzip"}, true},
		{[]string{"gzip;q=1"}, nil, false},
		{[]string{`"gzip"`}, nil, false},
		{[]string{"gzip br"}, nil, false},
		{[]string{"gzip", "x-odd"}, nil, false},
	} {
		got, err := coding.Parse(tc.values)
		if !slices.Equal(got, tc.want) || (err == nil) != tc.ok {
			t.Errorf("%q: got %q, %v, want %q, ok %t", tc.values, got, err, tc.want, tc.ok)
		}
	}
}

func TestDecodes(t *testing.T) {
	for outer := range testenv.Encoders() {
		for inner := range testenv.Encoders() {
			for _, content := range [][]byte{nil, []byte("x"), text()} {
				in := testenv.Encode(outer, testenv.Encode(inner, content))
				got, err := read(bytes.NewReader(in), inner, outer)
				if err != nil || !bytes.Equal(got, content) {
					t.Errorf("%s in %s: got %d bytes, %v, want %d", inner, outer, len(got), err, len(content))
				}
			}
		}
		in := testenv.Encode(outer, text())
		for name, body := range map[string]io.Reader{
			"one byte at a time": iotest.OneByteReader(bytes.NewReader(in)), "half": iotest.HalfReader(bytes.NewReader(in)),
			"with its end": iotest.DataErrReader(bytes.NewReader(in)),
		} {
			if got, err := read(body, outer); err != nil || !bytes.Equal(got, text()) {
				t.Errorf("%s, %s: got %d bytes, %v, want %d", outer, name, len(got), err, len(text()))
			}
		}
		if got, err := read(strings.NewReader(""), outer); err != nil || len(got) > 0 {
			t.Errorf("%s, nothing: got %q, %v, want nothing", outer, got, err)
		}
	}
}

// What was flushed is given out before more comes: an event does not wait for the next.
func TestGivesOutWhatWasFlushed(t *testing.T) {
	for name, open := range testenv.Encoders() {
		in, out := io.Pipe()
		r := coding.NewReader(in, []string{name}, nil)
		events := make(chan []byte, 1)
		go func() {
			z := open(out)
			for event := range events {
				_, _ = z.Write(event)
				_ = z.Flush()
			}
			_ = z.Close()
			_ = out.Close()
		}()
		for i := range 20 {
			event := []byte(strings.Repeat("data: x", i+1) + "\n\n")
			events <- event // the next one is not sent before this one has come
			got := make([]byte, len(event))
			if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, event) {
				t.Fatalf("%s: got %q, %v, want %q", name, got, err, event)
			}
		}
		close(events)
		if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
			t.Errorf("%s: got %q, %v at its end, want nothing", name, rest, err)
		}
	}
}

func wantReason(t *testing.T, name string, err error, reason string) {
	t.Helper()
	e, ok := errors.AsType[*coding.Error](err)
	if !ok || !strings.Contains(e.Reason, reason) {
		t.Errorf("%s: got %v, want a *coding.Error that says %q", name, err, reason)
	}
}

func TestRefusesWhatIsNotWhole(t *testing.T) {
	for name := range testenv.Encoders() {
		whole := testenv.Encode(name, text()[:200])
		for n := 1; n < len(whole); n++ {
			_, err := read(bytes.NewReader(whole[:n]), name)
			wantReason(t, name, err, "ended before it was whole")
		}
		_, err := read(bytes.NewReader(testenv.Encode("gzip", whole[:len(whole)-1])), name, "gzip")
		wantReason(t, name+" in gzip", err, "ended before it was whole")
	}
}

func TestRefusesWhatComesAfter(t *testing.T) {
	for name := range testenv.Encoders() {
		whole := testenv.Encode(name, []byte("text"))
		for what, more := range map[string][]byte{"a byte": {0}, "itself": whole, "text": []byte("\r\n")} {
			_, err := read(bytes.NewReader(slices.Concat(whole, more)), name)
			if _, ok := errors.AsType[*coding.Error](err); !ok {
				t.Errorf("%s, then %s: got %v, want a *coding.Error", name, what, err)
			}
		}
	}
	skip := "\x50\x2a\x4d\x18\x01\x00\x00\x00x" // a frame to be skipped
	frame := string(testenv.Encode("zstd", []byte("text")))
	for _, in := range []string{skip, skip + frame, frame + skip} {
		if _, err := read(strings.NewReader(in), "zstd"); err == nil {
			t.Errorf("got no error for %q", in)
		}
	}
}

func TestRefusesWhatItIsNot(t *testing.T) {
	var bare bytes.Buffer
	z, _ := flate.NewWriter(&bare, 9)
	_, _ = z.Write(text())
	_ = z.Close()
	for name := range testenv.Encoders() {
		for what, in := range map[string][]byte{"JSON": []byte(`{"token":"x"}`), "bare deflate": bare.Bytes(), "zeros": make([]byte, 64), "ones": bytes.Repeat([]byte{0xff}, 64)} {
			got, err := read(bytes.NewReader(in), name)
			if _, ok := errors.AsType[*coding.Error](err); !ok {
				t.Errorf("%s, %s: got %q, %v, want a *coding.Error", name, what, got, err)
			}
		}
	}
	broken := testenv.Encode("gzip", text())
	broken[len(broken)-6] ^= 1
	_, err := read(bytes.NewReader(broken), "gzip")
	wantReason(t, "checksum", err, "not what it says")
}

// zeros are n bytes of 0.
type zeros struct{ n int }

func (z *zeros) Read(p []byte) (int, error) {
	if z.n == 0 {
		return 0, io.EOF
	}
	n := min(len(p), z.n)
	clear(p[:n])
	z.n -= n
	return n, nil
}

func bomb(name string, size int) []byte {
	var b bytes.Buffer
	z := testenv.Encoders()[name](&b)
	_, _ = io.Copy(z, &zeros{size})
	_ = z.Close()
	return b.Bytes()
}

// A bomb ends before it has cost much, whatever is in what.
func TestBombs(t *testing.T) {
	for name := range testenv.Encoders() {
		in := bomb(name, 32<<20)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		n, err := io.Copy(io.Discard, coding.NewReader(io.NopCloser(bytes.NewReader(in)), []string{name}, nil))
		runtime.ReadMemStats(&after)
		wantReason(t, name, err, "for each of its own")
		if most := int64(coding.Free + coding.Ratio*len(in)); n > most {
			t.Errorf("%s: got %d bytes of %d, want at most %d", name, n, len(in), most)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 40<<20 {
			t.Errorf("%s: took %d MiB of memory", name, took>>20)
		}
		_, err = io.Copy(io.Discard, coding.NewReader(io.NopCloser(bytes.NewReader(testenv.Encode("gzip", in))), []string{name, "gzip"}, nil))
		wantReason(t, name+" in gzip", err, "for each of its own")
	}
}

// A window that is larger than RFC 9659 lets it be costs the reader its memory.
func TestRefusesALargeWindow(t *testing.T) {
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b, zstd.WithWindowSize(16<<20), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = z.Write(bytes.Repeat(text(), 100))
	_ = z.Close()
	_, err = read(&b, "zstd")
	wantReason(t, "16 MiB", err, "not what it says")
}

func TestAnErrorOfTheBodyIsGivenOnAsItIs(t *testing.T) {
	cause := errors.New("the connection ended")
	for name := range testenv.Encoders() {
		for _, n := range []int{0, 3, 40} {
			body := io.MultiReader(bytes.NewReader(testenv.Encode(name, text())[:n]), iotest.ErrReader(cause))
			r := coding.NewReader(io.NopCloser(body), []string{name}, nil)
			for range 2 {
				if _, err := io.Copy(io.Discard, r); !errors.Is(err, cause) {
					t.Errorf("%s, %d bytes: got %v, want %v", name, n, err, cause)
				}
			}
		}
	}
}

func TestLeavesNoGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	for name := range testenv.Encoders() {
		r := coding.NewReader(io.NopCloser(bytes.NewReader(testenv.Encode(name, text()))), []string{name}, nil)
		_, _ = r.Read(make([]byte, 10)) // and no more
		if n := runtime.NumGoroutine(); n > before {
			t.Errorf("%s: got %d goroutines, want the %d from before", name, n, before)
		}
		_ = r.Close()
	}
}

func FuzzDecode(f *testing.F) {
	for name := range testenv.Encoders() {
		in := testenv.Encode(name, text()[:200])
		f.Add(name, "", in)
		f.Add(name, "gzip", testenv.Encode("gzip", in))
		f.Add(name, "", in[:len(in)/2])
	}
	f.Fuzz(func(t *testing.T, inner, outer string, in []byte) {
		codings, err := coding.Parse([]string{inner, outer})
		if err != nil {
			return
		}
		got, err := read(bytes.NewReader(in), codings...)
		again, err2 := read(iotest.OneByteReader(bytes.NewReader(in)), codings...)
		if len(codings) > 0 && int64(len(got)) > coding.Free+coding.Ratio*int64(len(in)) {
			t.Errorf("got %d bytes of %d", len(got), len(in))
		}
		if err == nil && (err2 != nil || !bytes.Equal(got, again)) || (err == nil) != (err2 == nil) {
			t.Errorf("got %d bytes, %v, and in pieces %d, %v", len(got), err, len(again), err2)
		}
	})
}
