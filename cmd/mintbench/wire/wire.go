// Package wire reads HTTP/1.1 messages from a connection without allocating,
// for the two ends of a measurement: what they do is not to be what is
// measured. It knows only what those ends need, and refuses the rest.
package wire

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// unknown is the Length of a message that does not state one.
const unknown = -1

// maxBody bounds what a message may announce.
const maxBody = 64 << 20

// Head is the start line of a message and what its headers say. It may be read
// into again; its slices are then overwritten.
type Head struct {
	Start         []byte // "POST /mcp HTTP/1.1" or "HTTP/1.1 200 OK"
	Authorization []byte // value of the header, nil when there is none
	Length        int64  // -1 when it is not stated
	Chunked       bool
	Old           bool // of HTTP/1.0, whose speakers know no chunks
	Close         bool // the connection ends after this message, or its answer
}

// ReadHead reads a message up to the empty line. It returns io.EOF only when
// the connection ended between two messages.
func ReadHead(r *bufio.Reader, h *Head) error {
	*h = Head{Start: h.Start[:0], Authorization: h.Authorization[:0], Length: unknown}
	line, err := readLine(r)
	if err != nil {
		return err
	}
	h.Start = append(h.Start, line...)
	h.Old = bytes.HasSuffix(line, []byte(" HTTP/1.0"))
	h.Close = h.Old
	for {
		line, err := readLine(r)
		if err != nil {
			return cut(err)
		}
		if len(line) == 0 {
			return nil
		}
		if err := h.header(line); err != nil {
			return err
		}
	}
}

// Status returns the status code of an answer.
func (h *Head) Status() (int, error) {
	if len(h.Start) < 12 || !bytes.HasPrefix(h.Start, []byte("HTTP/1.1 ")) {
		return 0, fmt.Errorf("read answer: got %.40q, want an HTTP/1.1 status line", h.Start)
	}
	status, ok := number(h.Start[9:12])
	if !ok {
		return 0, fmt.Errorf("read answer: got %.40q, want an HTTP/1.1 status line", h.Start)
	}
	return int(status), nil
}

func (h *Head) header(line []byte) error {
	name, value, found := bytes.Cut(line, []byte(":"))
	if !found {
		return fmt.Errorf("read header: got %.40q, want a name and a value", line)
	}
	value = bytes.TrimSpace(value)
	switch {
	case is(name, "Content-Length"):
		n, ok := number(value)
		if !ok || n > maxBody {
			return fmt.Errorf("read header: got Content-Length %.20q, want at most %d", value, maxBody)
		}
		h.Length = n
	case is(name, "Transfer-Encoding"):
		h.Chunked = is(value, "chunked")
	case is(name, "Connection"):
		h.Close = h.Close || is(value, "close")
	case is(name, "Authorization"):
		h.Authorization = append(h.Authorization[:0], value...)
	}
	return nil
}

// is compares a header's name, in any case.
func is(got []byte, want string) bool {
	return len(got) == len(want) && bytes.EqualFold(got, []byte(want))
}

// number reads decimal digits and nothing else.
func number(s []byte) (int64, bool) {
	if len(s) == 0 || len(s) > 12 {
		return 0, false
	}
	var n int64
	for _, c := range s {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// ReadBody appends the body that follows h to body. A message that states
// neither a length nor chunks has no body here.
func ReadBody(r *bufio.Reader, h *Head, body []byte) ([]byte, error) {
	if !h.Chunked {
		return readFull(r, body, max(0, h.Length))
	}
	for {
		var last bool
		var err error
		if body, last, err = ReadChunk(r, body); last || err != nil {
			return body, err
		}
	}
}

// ReadChunk appends one chunk to body; last says that none follows.
func ReadChunk(r *bufio.Reader, body []byte) (_ []byte, last bool, err error) {
	line, err := readLine(r)
	if err != nil {
		return body, false, cut(err)
	}
	size, _, _ := bytes.Cut(line, []byte(";"))
	n, err := strconv.ParseInt(string(size), 16, 32)
	if err != nil || n < 0 || n > maxBody {
		return body, false, fmt.Errorf("read chunk: got size %.20q, want at most %d", size, maxBody)
	}
	if body, err = readFull(r, body, n); err != nil {
		return body, false, err
	}
	// The line after the last chunk is the empty one that ends its trailer.
	if line, err = readLine(r); err == nil && len(line) > 0 {
		err = fmt.Errorf("read chunk: got %.20q behind it, want the end of the line", line)
	}
	return body, n == 0, cut(err)
}

// readFull appends n bytes. It grows body only as bytes come, because n is what
// the other side says.
func readFull(r *bufio.Reader, body []byte, n int64) ([]byte, error) {
	for n > 0 {
		piece, err := r.Peek(int(min(n, int64(r.Size()))))
		body = append(body, piece...)
		if err != nil {
			return body, cut(err)
		}
		n -= int64(len(piece))
		if _, err := r.Discard(len(piece)); err != nil {
			return body, cut(err)
		}
	}
	return body, nil
}

// readLine returns a line without its end, valid until the next read.
func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	switch {
	case err == nil:
		return bytes.TrimSuffix(line[:len(line)-1], []byte("\r")), nil
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, fmt.Errorf("read line: got more than %d bytes", r.Size())
	case len(line) > 0:
		return nil, cut(err)
	}
	return nil, err
}

// cut makes the end of a connection inside a message an error of its own.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
