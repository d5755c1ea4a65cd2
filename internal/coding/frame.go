package coding

import (
	"bufio"
	"errors"
	"io"
)

// frame is one frame of zstd (RFC 8878, section 3.1.1) and nothing after it: the
// decoder would go on with the next one, and pass over what it is told to skip.
type frame struct {
	in       *bufio.Reader
	checksum bool
	last     bool // the last block has begun
	left     int  // to be read before the next look
}

// newFrame returns the frame that begins at in, having looked at its head.
func newFrame(in *bufio.Reader) (*frame, error) {
	b, err := in.Peek(5)
	if err != nil {
		return nil, inside(err)
	}
	if string(b[:4]) != "\x28\xb5\x2f\xfd" {
		return nil, errors.New("expected the magic number of a zstd frame")
	}
	flags := b[4]
	f := &frame{in: in, checksum: flags>>2&1 == 1, left: 5 + [...]int{0, 1, 2, 4}[flags&3] + [...]int{0, 2, 4, 8}[flags>>6]}
	if single := flags>>5&1 == 1; !single || flags>>6 == 0 {
		f.left++ // the window, or the size of the content
	}
	return f, nil
}

// Read implements io.Reader.
func (f *frame) Read(p []byte) (int, error) {
	if f.left == 0 {
		if err := f.look(); err != nil {
			return 0, err
		}
	}
	n, err := f.in.Read(p[:min(len(p), f.left)])
	f.left -= n
	return n, inside(err)
}

// look finds how long the next part is: a block, or the checksum. It waits for no byte
// beyond that.
func (f *frame) look() error {
	switch {
	case !f.last:
		b, err := f.in.Peek(3)
		if err != nil {
			return inside(err)
		}
		size := int(b[0]) | int(b[1])<<8 | int(b[2])<<16
		f.last = size&1 == 1
		rle := size>>1&3 == 1
		if size >>= 3; rle {
			size = 1
		}
		f.left = 3 + size
	case f.checksum:
		f.checksum, f.left = false, 4
	default:
		return io.EOF
	}
	return nil
}

// inside returns err of a read that was no end of a frame.
func inside(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
