package coding

import (
	"bufio"
	"encoding/binary"
	"sync"
)

// Room is the memory that decoders may hold together. A sender says how far back it
// refers in a few bytes, and has a decoder make room for all of that at once: many
// small answers would else cost what no ratio bounds. It is safe for concurrent use; a
// nil Room has no bound.
type Room struct {
	mu   sync.Mutex
	left int64
}

// NewRoom returns a Room of so many bytes.
func NewRoom(bytes int64) *Room { return &Room{left: bytes} }

func (r *Room) take(n int64) bool {
	if r == nil {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if n > r.left {
		return false
	}
	r.left -= n
	return true
}

func (r *Room) give(n int64) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left += n
}

// share is what one body holds of a Room, until it has ended or was closed.
type share struct {
	of    *Room
	mu    sync.Mutex
	taken int64
	ended bool
}

func (s *share) take(n int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || !s.of.take(n) {
		return false
	}
	s.taken += n
	return true
}

func (s *share) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.of.give(s.taken)
	s.taken, s.ended = 0, true
}

// tables is about what a decoder holds beside its window.
const tables = 1 << 20

// costs returns about how much memory the decoder of what begins at in may hold.
func costs(coding string, in *bufio.Reader) int64 {
	switch coding {
	case "br":
		return windowOfBrotli(in) + tables
	case "zstd":
		return min(windowOfZstd(in), maxWindow) + tables
	}
	return 64 << 10
}

// windowOfBrotli reads WBITS (RFC 7932, section 9.1).
func windowOfBrotli(in *bufio.Reader) int64 {
	b, err := in.Peek(1)
	if err != nil {
		return 0
	}
	switch first, second := b[0]>>1&7, b[0]>>4&7; {
	case b[0]&1 == 0:
		return 1 << 16
	case first > 0:
		return 1 << (17 + first)
	case second > 1:
		return 1 << (8 + second)
	}
	return 1 << 17
}

// windowOfZstd reads the window's size, or that of the content where it is the window
// (RFC 8878, section 3.1.1.1).
func windowOfZstd(in *bufio.Reader) int64 {
	b, err := in.Peek(6)
	if err != nil {
		return 0 // it is cut short
	}
	if single := b[4]>>5&1 == 1; !single {
		base := int64(1) << (10 + min(b[5]>>3, 40))
		return base + base/8*int64(b[5]&7)
	}
	if b[4]&3 != 0 { // a dictionary's number is in between
		return maxWindow
	}
	n := [...]int{1, 2, 4, 8}[b[4]>>6]
	if b, err = in.Peek(5 + n); err != nil {
		return 0
	}
	var size [8]byte
	copy(size[:], b[5:])
	return int64(min(binary.LittleEndian.Uint64(size[:]), maxWindow)) + 256
}
