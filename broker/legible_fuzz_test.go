package broker

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"
	"unicode/utf8"
)

// FuzzTextBody holds the reading of a body in small pieces to that of the whole,
// whatever is known of its length, and lets text pass.
func FuzzTextBody(f *testing.F) {
	for _, in := range []string{"", "x", "x^2 + y^2", "x^\xcbH\xcd", "x ", "\x78\xda\xcb", "\x1f\x8b\x08", "BZh91AY", "{\"a\":\"\x00\"}", "x\xc3\xa9"} {
		f.Add([]byte(in), false)
		f.Add([]byte(in), true)
	}
	f.Fuzz(func(t *testing.T, in []byte, strict bool) {
		read := func(length int, of func(io.Reader) io.Reader) ([]byte, error) {
			body := &textBody{ReadCloser: io.NopCloser(of(bytes.NewReader(in))), strict: strict}
			if err := body.begin(int64(length)); err != nil {
				return nil, err
			}
			return io.ReadAll(body)
		}
		whole, err := read(-1, func(r io.Reader) io.Reader { return r })
		for _, length := range []int{-1, len(in), 0} {
			pieces, err2 := read(length, iotest.OneByteReader)
			if (err == nil) != (err2 == nil) || err == nil && (!bytes.Equal(whole, in) || !bytes.Equal(pieces, in)) {
				t.Errorf("got %q, %v, and in pieces of length %d %q, %v", whole, err, length, pieces, err2)
			}
		}
		text := utf8.Valid(in) && !bytes.HasPrefix(in, []byte("BZh91AY&")) && !bytes.ContainsFunc(in, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' })
		if text && err != nil {
			t.Errorf("got %v, want text to pass", err)
		}
	})
}
