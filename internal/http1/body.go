package http1

import (
	"bytes"
	"errors"
	"io"
)

// body is where the body of a message ends (RFC 9112, section 6).
type body struct {
	left    int64 // of the body, or of the chunk; -1: until the connection ends
	chunked bool
	within  bool // a chunk's data came before
}

// read returns with some of the body or an error, of which io.EOF may come with the
// last of it.
func (b *body) read(in *input, p []byte) (int, error) {
	if b.chunked {
		return b.readChunked(in, p)
	}
	if b.left < 0 {
		return in.read(p)
	}
	n, err := in.read(p[:min(int64(len(p)), b.left)])
	if b.left -= int64(n); b.left == 0 {
		return n, io.EOF
	}
	return n, cut(err)
}

func (b *body) readChunked(in *input, p []byte) (int, error) {
	for b.left == 0 {
		if err := b.nextChunk(in); err != nil {
			return 0, err
		}
	}
	n, err := in.read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	for err == nil && b.left == 0 && n < len(p) && nextIsHere(in.buffered()) {
		if err = b.nextChunk(in); err != nil {
			break
		}
		var more int
		more, err = in.read(p[n : n+int(min(int64(len(p)-n), b.left))])
		n, b.left = n+more, b.left-int64(more)
	}
	return n, cut(err)
}

// nextIsHere reports whether some data of a next chunk has come already: what is
// said in chunks of a byte each would cost whoever reads a step for each.
func nextIsHere(buffered []byte) bool {
	rest, ok := bytes.CutPrefix(buffered, []byte("\r\n"))
	end := bytes.IndexByte(rest[:min(len(rest), maxChunkLine)], '\n')
	if !ok || end < 1 || rest[end-1] != '\r' || end+1 == len(rest) {
		return false
	}
	size, err := chunkSize(rest[:end-1])
	return err == nil && size > 0
}

const (
	maxChunkLine = 256
	maxTrailer   = 8 << 10
)

// nextChunk reads the end of the chunk before and the size of the next, and after the
// last one the trailer, which is dropped (RFC 9112, section 7.1). It is called when
// the data of a chunk has been given out, so that an event never waits for it.
func (b *body) nextChunk(in *input) error {
	if b.within {
		line, err := in.line(0)
		if errors.Is(err, errTooLong) || len(line) > 0 {
			err = errors.New("expected the end of a chunk")
		}
		if err != nil {
			return err
		}
	}
	line, err := in.line(maxChunkLine)
	if err != nil {
		return err
	}
	if b.left, err = chunkSize(line); err != nil || b.left > 0 {
		b.within = true
		return err
	}
	for room := maxTrailer; room > 0; room -= len(line) {
		if line, err = in.line(maxTrailer); err != nil {
			return err
		}
		if len(line) == 0 {
			return io.EOF
		}
		if _, _, err := parseLine(string(line)); err != nil {
			return err
		}
	}
	return errTooLong
}

func chunkSize(line []byte) (int64, error) {
	size, digits := int64(0), 0
	for digits < len(line) {
		d, ok := hexDigit(line[digits])
		if !ok {
			break
		}
		if digits++; digits > 15 {
			return 0, errors.New("expected a chunk of at most 15 hex digits")
		}
		size = size<<4 | int64(d)
	}
	rest := bytes.TrimRight(line[digits:], " \t") // old servers pad it
	if digits == 0 || len(rest) > 0 && rest[0] != ';' || !isValue(string(rest)) {
		return 0, errors.New("expected the size of a chunk in hex")
	}
	return size, nil
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
