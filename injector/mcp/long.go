package mcp

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
	"unicode/utf8"
)

// The text of a file in a call's arguments is one string, and a decoder takes a step
// for each byte of it. So it is given the message without the beginnings of long
// strings: of what it would find to be characters, each by itself, which are looked at
// here eight bytes at once. It still reads all that is not such: every bracket, name
// and number, and the string's own quotes. Values are cut out of the message as it
// came, by the places that the decoder was at. A name is left as it is: it may stand
// twice.

// longString is what a beginning has at least that is left out, and longMessage a
// message that it is looked for in.
const (
	longString  = 1 << 10
	longMessage = 4 << 10
)

// gap is where a text was left out.
type gap struct {
	at   int // in what the decoder reads
	gone int // how much was left out here and before
}

// gaps are in order.
type gaps []gap

// origin returns where in the whole message a place is that the decoder is at. A gap
// is within a string, where it never stops.
func (g gaps) origin(at int) int {
	i, _ := slices.BinarySearchFunc(g, at, func(one gap, at int) int { return one.at - at })
	if i == 0 {
		return at
	}
	return at + g[i-1].gone
}

// shorten appends to short, which is empty, what a decoder has to read of body, and to
// g what is left out. With no gap it appends nothing.
func shorten(short []byte, g gaps, body []byte) ([]byte, gaps) {
	if len(body) < longMessage {
		return short, g
	}
	done, gone := 0, 0
	for i := 0; i < len(body); i++ {
		next := bytes.IndexByte(body[i:], '"')
		if next < 0 {
			break
		}
		begin := i + next + 1
		i = stringEnd(body, begin-1)
		if i-begin < longString || isName(body[i+1:]) {
			continue
		}
		n := characters(body[begin:i])
		if n < longString {
			continue
		}
		short = append(short, body[done:begin]...)
		done = begin + n
		gone += n
		g = append(g, gap{at: len(short), gone: gone})
	}
	if len(g) == 0 {
		return short, g
	}
	return append(short, body[done:]...), g
}

// isName reports whether a string that rest comes after is the name of a member.
func isName(rest []byte) bool {
	rest = bytes.TrimLeft(rest, space)
	return len(rest) > 0 && rest[0] == ':'
}

// characters returns how much of text, which is what stands between quotes, is
// characters that are valid whatever comes after them: all but a surrogate, which is
// half of one.
func characters(text []byte) int {
	i := 0
	for i+8 <= len(text) {
		other := others(binary.LittleEndian.Uint64(text[i : i+8 : i+8]))
		if other == 0 {
			i += 8
			continue
		}
		i += bits.TrailingZeros64(other) / 8
		n := character(text[i:])
		if n == 0 {
			return i
		}
		i += n
	}
	for {
		n := character(text[i:])
		if n == 0 {
			return i
		}
		i += n
	}
}

// character returns how long the character is that text begins with, and those that
// follow it and are no ASCII either, or 0.
func character(text []byte) int {
	switch {
	case len(text) == 0 || text[0] < ' ' || text[0] == '"':
		return 0
	case text[0] == '\\':
		return escape(text)
	case text[0] < utf8.RuneSelf:
		return 1
	}
	return runes(text)
}

// runes returns how long the characters are that text begins with and that are not
// ASCII.
func runes(text []byte) int {
	i := 0
	for i < len(text) && text[i] >= utf8.RuneSelf {
		_, n := utf8.DecodeRune(text[i:])
		if n == 1 { // it is none
			break
		}
		i += n
	}
	return i
}

// escape returns how long the escape is that text begins with, or 0 for none and for
// a surrogate.
func escape(text []byte) int {
	if len(text) < 2 {
		return 0
	}
	switch text[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(text) < 6 || text[2]|0x20 == 'd' && text[3] > '7' { // U+D800 to U+DFFF
			return 0
		}
		for _, c := range text[2:6] {
			if !('0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f') {
				return 0
			}
		}
		return 6
	}
	return 0
}

const (
	ones  = 0x0101010101010101
	highs = 0x80 * ones
)

// others returns 0 where each of eight bytes is ASCII, no control character, no quote
// and no backslash, and else has the first one's high bit set that is not, and none
// of a byte before it.
func others(w uint64) uint64 {
	quote, slash := w^'"'*ones, w^'\\'*ones
	return (w | (w - ' '*ones) | (quote - ones) | (slash - ones)) & highs
}
