package injector

import "bytes"

// joint is an answer on its way through several searches. Each sees it as it came, and
// what one of them finds is masked as it is given out: tokens of one issuer begin alike,
// and what one search masks of that beginning, as a part, would hide from the next that
// it is one of its own.
type joint struct {
	text  []byte // the last of what came, as it came
	given int    // how much of it was given out
	total int64  // how much came
	keep  int64  // where in the stream the oldest begins that is needed of what was given out
	piece []byte // the last of what came
	apart bool   // piece is not in text: it goes on as it came, unless something of it is held or masked
	lent  bool   // text is in the memory of whoever reads, see Scrubber.Room
	masks spans  // in what was not given out
	out   []byte // what was given out last, where something was to be masked in it
}

// take takes a piece.
func (j *joint) take(piece []byte) {
	if !j.lent {
		j.drop()
	}
	j.piece, j.apart = piece, true
	j.total += int64(len(piece))
	if len(j.text) > 0 {
		j.add()
	}
}

// drop drops what was given out and is needed no more. What it moves for that is no more
// than what it drops: text may be long, and come byte by byte.
func (j *joint) drop() {
	n := max(0, min(j.given, int(j.keep-j.from())))
	if n == 0 || !j.lent && n < len(j.text)-n {
		return
	}
	left := j.text[:copy(j.text, j.text[n:])]
	if cap(j.out) > 0 {
		clear(j.text[len(left):]) // there was a secret in it
	}
	j.text, j.given = left, j.given-n
}

// add adds the piece to text.
func (j *joint) add() {
	if j.apart {
		j.text, j.apart = append(j.text, j.piece...), false
	}
}

// from returns where in the stream text begins. The piece is in it, if there is one.
func (j *joint) from() int64 { return j.total - int64(len(j.text)) }

// since returns what came from a place in the stream on, as far as it is known.
func (j *joint) since(from int64) []byte {
	return j.text[max(0, min(len(j.text), int(from-j.from()))):]
}

// find takes over what m found.
func (j *joint) find(m *search) {
	j.masks.add(m.found)
	m.found = m.found[:0]
}

// give returns what was not given out and comes before a place in the stream, masked.
func (j *joint) give(upto int64, b *beside) []byte {
	clean := len(j.masks) == 0 && b.clear()
	if j.apart && clean && upto == j.total && j.given == len(j.text) {
		piece := j.piece
		j.piece, j.apart = nil, false
		j.text, j.given = j.text[:0], 0 // which the piece is not after
		return piece
	}
	j.add()
	at := j.from() + int64(j.given)
	out := j.text[j.given:max(j.given, int(upto-j.from()))]
	j.given += len(out)
	if clean {
		return out
	}
	j.out = append(j.out[:0], out...)
	j.masks.mask(j.out, at)
	b.mask(j.out, at)
	return j.out
}

// room is Scrubber.Room.
func (j *joint) room(buf []byte) []byte {
	j.drop()
	if len(buf) == 0 || len(j.text) > len(buf)/2 {
		if j.lent {
			j.text, j.lent = bytes.Clone(j.text), false
		}
		return buf
	}
	j.text, j.lent = buf[:copy(buf, j.text)], true
	return buf[len(j.text):]
}
