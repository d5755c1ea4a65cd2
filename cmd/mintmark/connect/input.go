package connect

import (
	"bufio"
	"errors"
	"io"
	"sync"
)

// line is one line of the client, without its newline.
type line struct {
	text []byte
	long *skim // what was found of a line that is too long to keep, or nil
}

// input reads lines, one ahead. It ends with its reader.
type input struct {
	lines chan line
	ended chan struct{} // closed when the last line was taken
	err   error         // why reading ended, or nil at the end of the input; readable once lines is closed

	from   io.Reader
	closed chan struct{}
	once   sync.Once
}

func newInput(from io.Reader, limit int64) *input {
	in := &input{lines: make(chan line), ended: make(chan struct{}), closed: make(chan struct{}), from: from}
	go in.read(bufio.NewReaderSize(from, 64<<10), limit)
	return in
}

// close stops reading. A Read that can't be interrupted is left to the end of
// the process.
func (in *input) close() {
	in.once.Do(func() {
		close(in.closed)
		if c, ok := in.from.(io.Closer); ok {
			_ = c.Close() // nobody reads it any more
		}
	})
}

func (in *input) read(r *bufio.Reader, limit int64) {
	defer close(in.lines)
	defer close(in.ended)
	for {
		l, err := readLine(r, limit)
		if len(l.text) > 0 || l.long != nil {
			select {
			case in.lines <- l:
			case <-in.closed:
				return
			}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				in.err = err
			}
			return
		}
	}
}

// readLine reads one line. Of one that is longer than limit it keeps nothing
// but what is needed to answer it.
func readLine(r *bufio.Reader, limit int64) (l line, err error) {
	for {
		part, err := r.ReadSlice('\n')
		whole := err == nil
		if whole {
			part = part[:len(part)-1]
		}
		switch {
		case l.long != nil:
			l.long.feed(part)
		case int64(len(l.text)+len(part)) > limit:
			l.long = new(skim)
			l.long.feed(l.text)
			l.long.feed(part)
			l.text = nil
		default:
			l.text = append(l.text, part...)
		}
		if whole {
			return l, nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return l, err
		}
	}
}
