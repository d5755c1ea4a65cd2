package testenv

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"io"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

// Encoder is what the encoders of all content codings have.
type Encoder interface {
	io.WriteCloser
	// Flush has all that was written readable at the other end.
	Flush() error
}

// Encoders are those of the content codings that HTTP has, by their names.
func Encoders() map[string]func(io.Writer) Encoder {
	return map[string]func(io.Writer) Encoder{
		"gzip":    func(w io.Writer) Encoder { return gzip.NewWriter(w) },
		"deflate": func(w io.Writer) Encoder { return zlib.NewWriter(w) },
		"br":      func(w io.Writer) Encoder { return brotli.NewWriter(w) },
		"zstd": func(w io.Writer) Encoder {
			z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
			if err != nil {
				panic(err) // of these options alone
			}
			return z
		},
	}
}

// Encode returns text in a coding.
func Encode(coding string, text []byte) []byte {
	var b bytes.Buffer
	z := Encoders()[coding](&b)
	_, _ = z.Write(text)
	_ = z.Close()
	return b.Bytes()
}
