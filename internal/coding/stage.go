package coding

import (
	"bufio"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

// maxWindow is how far back zstd may refer, and what its decoder may hold: what
// RFC 9659 lets a server use. That of gzip and deflate is 32 KiB, of br 16 MiB.
const maxWindow = 8 << 20

// stage undoes one coding.
type stage struct {
	coding  string
	raw     *source       // what was paid for
	share   *share        // of the memory
	in      *bufio.Reader // coded
	decoder io.Reader     // nil before the first byte
	given   int64
	err     error
}

// Read implements io.Reader.
func (s *stage) Read(p []byte) (n int, err error) {
	if s.err == nil {
		n, s.err = s.read(p)
	}
	return n, s.err
}

func (s *stage) read(p []byte) (int, error) {
	if s.decoder == nil {
		if _, err := s.in.Peek(1); err != nil {
			return 0, err // io.EOF: it is empty
		}
		if !s.share.take(costs(s.coding, s.in)) {
			return 0, &Error{s.coding, "there is no room to decode so many of this server's answers at once", nil}
		}
		if err := s.open(); err != nil {
			return 0, s.fault(err)
		}
	}
	n, err := s.decoder.Read(p)
	s.given += int64(n)
	if s.given > Free+Ratio*s.raw.read {
		return 0, &Error{s.coding, fmt.Sprintf("it decodes to more than %d bytes for each of its own", Ratio), nil}
	}
	switch {
	case errors.Is(err, io.EOF):
		return n, s.end()
	case err != nil:
		return n, s.fault(err)
	}
	return n, nil
}

// open makes the decoder. Whatever it reads of s.in is part of what it decodes.
func (s *stage) open() (err error) {
	switch s.coding {
	case "gzip":
		var z *gzip.Reader
		if z, err = gzip.NewReader(s.in); err == nil {
			z.Multistream(false)
			s.decoder = z
		}
	case "deflate":
		s.decoder, err = zlib.NewReader(s.in)
	case "br":
		s.decoder = brotli.NewReader(s.in)
	case "zstd":
		var one *frame
		if one, err = newFrame(s.in); err == nil {
			// With no concurrency it is decoded by who reads, without goroutines.
			s.decoder, err = zstd.NewReader(one, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		}
	default:
		err = errors.New("expected a coding that Parse returned")
	}
	return err
}

// end holds what was decoded to be all that came.
func (s *stage) end() error {
	switch _, err := s.in.ReadByte(); {
	case err == nil:
		return &Error{s.coding, "more comes after its end", nil}
	default:
		return err // io.EOF, as it should be
	}
}

func (s *stage) fault(err error) error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e // of the coding around this one
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return &Error{s.coding, "it ended before it was whole", err}
	}
	return &Error{s.coding, "it is not what it says it is", err}
}
