package http1

import (
	"bytes"
	"errors"
	"io"
)

// input is what came on a connection.
type input struct {
	from io.Reader
	buf  []byte
	r, w int // buf[r:w] was read and not yet taken

	lines lines // of the head that came last
}

// firstBuffer is what most answers need.
const firstBuffer = 4 << 10

func (in *input) buffered() []byte { return in.buf[in.r:in.w] }

// rest lets go of the room for a long head, where nothing is buffered: it may be long
// until the next one comes.
func (in *input) rest() {
	if in.r == in.w && len(in.buf) > 2*firstBuffer {
		in.buf, in.r, in.w = nil, 0, 0
	}
}

// fill reads more, into a buffer of at most limit bytes. It returns io.EOF only
// when nothing more comes.
func (in *input) fill(limit int) error {
	if in.r == in.w {
		in.r, in.w = 0, 0
	}
	if in.w == len(in.buf) && !in.room(limit) {
		return errTooLong
	}
	n, err := in.from.Read(in.buf[in.w:])
	in.w += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// room makes room for more.
func (in *input) room(limit int) bool {
	if in.r > 0 {
		in.w = copy(in.buf, in.buf[in.r:in.w])
		in.r = 0
		return true
	}
	if len(in.buf) >= limit {
		return false
	}
	larger := make([]byte, min(limit, max(firstBuffer, 2*len(in.buf))))
	in.w = copy(larger, in.buf[:in.w])
	in.buf = larger
	return true
}

var (
	errTooLong = errors.New("expected a shorter head or line")
	errLine    = errors.New("expected lines that end in CR LF")
)

// head takes everything up to an empty line, and returns it without that line, until
// the next read. Every line ends in CR LF: one that ends otherwise is read as one
// line by some and as two by others (RFC 9112, section 2.2).
func (in *input) head(limit int) ([]byte, error) {
	seen, line := 0, 0 // from in.r: what was searched, and where the line begins
	for {
		for {
			i := bytes.IndexByte(in.buf[in.r+seen:in.w], '\n')
			if i < 0 {
				break
			}
			end := seen + i
			if end > limit {
				return nil, errTooLong
			}
			if end == line || in.buf[in.r+end-1] != '\r' {
				return nil, errLine
			}
			seen = end + 1
			if end == line+1 {
				text := in.buf[in.r : in.r+max(0, line-2)]
				in.r += seen
				return text, nil
			}
			line = seen
		}
		if seen = in.w - in.r; seen > limit {
			return nil, errTooLong
		}
		if err := in.fill(limit + firstBuffer); err != nil {
			return nil, cut(err)
		}
	}
}

// line takes one line and returns it without its end, until the next read.
func (in *input) line(limit int) ([]byte, error) {
	for {
		if i := bytes.IndexByte(in.buffered(), '\n'); i >= 0 {
			if i == 0 || in.buf[in.r+i-1] != '\r' {
				return nil, errLine
			}
			line := in.buf[in.r : in.r+i-1]
			in.r += i + 1
			if len(line) > limit {
				return nil, errTooLong
			}
			return line, nil
		}
		if in.w-in.r > limit+1 {
			return nil, errTooLong
		}
		if err := in.fill(max(len(in.buf), limit+firstBuffer)); err != nil {
			return nil, cut(err)
		}
	}
}

// read takes up to len(p) bytes of a body.
func (in *input) read(p []byte) (int, error) {
	if in.r == in.w {
		if len(p) >= firstBuffer {
			return in.from.Read(p)
		}
		if err := in.fill(max(len(in.buf), firstBuffer)); err != nil {
			return 0, err
		}
	}
	n := copy(p, in.buffered())
	in.r += n
	return n, nil
}

// cut makes an end of the connection within a message an error.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// unread appends what was read past the input.
func (in *input) unread(more []byte) {
	in.buf = append(in.buf[:in.w:len(in.buf)], more...)
	in.w = len(in.buf)
}
