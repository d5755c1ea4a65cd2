package mcp

import (
	"bytes"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	metaVersion = "io.modelcontextprotocol/protocolVersion"

	maxIDLength   = 128
	maxNameLength = 4096
)

// Reader reads messages within limits. It is safe for concurrent use.
type Reader struct {
	depth    int
	decoders sync.Pool
}

// NewReader returns a Reader that refuses nesting deeper than depth.
func NewReader(depth int) *Reader {
	return &Reader{depth: depth, decoders: sync.Pool{New: func() any { return new(decoder) }}}
}

type decoder struct {
	buf   bytes.Buffer
	dec   jsontext.Decoder
	short []byte // what it reads instead of a long message
	gaps  gaps
}

// Read parses body as exactly one message. On error the message is zero and
// the error is an *Error that says where and why.
func (r *Reader) Read(body []byte) (Message, error) {
	if err := checkShape(body, r.depth); err != nil {
		return Message{}, err
	}
	d := r.decoders.Get().(*decoder)
	defer r.free(d)
	d.short, d.gaps = shorten(d.short[:0], d.gaps[:0], body)
	if len(d.gaps) > 0 {
		if m, err := d.read(d.short, body); err == nil {
			return m, nil
		}
		d.gaps = d.gaps[:0] // an error says where in the message it is
	}
	return d.read(body, body)
}

// read reads the message in body by what of it is in text, which is all of it but the
// gaps.
func (d *decoder) read(text, body []byte) (Message, error) {
	p := parser{dec: d.over(text), body: body, gaps: d.gaps}
	m, err := p.message()
	if err == nil {
		err = p.end()
	}
	if err != nil {
		return Message{}, err
	}
	m.Raw = body
	return m, nil
}

// over returns the decoder at the beginning of text.
func (d *decoder) over(text []byte) *jsontext.Decoder {
	d.buf = *bytes.NewBuffer(text)
	d.dec.Reset(&d.buf)
	return &d.dec
}

func (r *Reader) free(d *decoder) {
	d.buf = bytes.Buffer{} // do not keep the body alive in the pool
	clear(d.short)
	if cap(d.short) > mostShort {
		d.short = nil
	}
	r.decoders.Put(d)
}

// mostShort is how much room a decoder in the pool has at most.
const mostShort = 16 << 10
