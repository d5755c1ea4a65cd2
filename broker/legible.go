package broker

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"mintmark/internal/fault"
)

// legible holds an answer to what its head says: text that can be looked through
// for secrets. An upstream that compresses without saying so, or a server before it
// that lost the header, would hide them. It is asked of answers to calls with a
// credential. It reads no further than the first bytes, and nothing of a stream,
// which it cuts instead.
func (b *Broker) legible(c *call, resp *http.Response) error {
	kind := mediaType(resp)
	if c.injection == nil || !isText(kind) {
		return nil
	}
	t := &textBody{ReadCloser: resp.Body, strict: isJSONType(kind) || kind == "text/event-stream" && !c.plain}
	resp.Body = t
	if isStream(resp) {
		return nil
	}
	defer b.streams.add(c)()
	return t.begin()
}

// mediaType returns that of an answer, without its parameters, or "".
func mediaType(resp *http.Response) string {
	values := resp.Header["Content-Type"]
	if len(values) == 0 {
		return ""
	}
	if values[0] == "application/json" || values[0] == "text/event-stream" { // nearly all, and parsing allocates
		return values[0]
	}
	kind, _, _ := mime.ParseMediaType(values[0])
	return kind
}

// isText reports whether a media type is one of text. What has none may be.
func isText(kind string) bool {
	switch kind {
	case "", "application/xml", "application/javascript", "application/x-ndjson", "application/ndjson", "application/jsonl", "application/yaml",
		"application/graphql", "application/x-www-form-urlencoded":
		return true
	}
	return strings.HasPrefix(kind, "text/") || strings.HasSuffix(kind, "+xml") || isJSONType(kind)
}

func isJSONType(kind string) bool {
	return kind == "application/json" || strings.HasSuffix(kind, "+json")
}

// textBody is a body that must not turn out to be compressed.
type textBody struct {
	io.ReadCloser
	strict  bool // no character may be in it that JSON does not have
	mark    [longestMark]byte
	marked  int  // bytes of it
	decided bool // that it is none

	head  [256]byte // what begin has read
	ready []byte    // of it, that was not given out
	ended error     // after it
}

// longestMark is the length of the longest beginning that is looked for.
const longestMark = 8

// begin reads the first bytes, which are read again all the same, and returns an
// error of what is compressed.
func (t *textBody) begin() error {
	n, err := io.ReadAtLeast(t.ReadCloser, t.head[:], longestMark)
	if errors.Is(err, io.ErrUnexpectedEOF) && n > 0 { // it is as short as that, or was cut: the next reading tells
		err = nil
	}
	t.ready, t.ended = t.head[:n], err
	return t.check(t.ready)
}

// Read implements io.Reader.
func (t *textBody) Read(p []byte) (int, error) {
	if len(t.ready) > 0 {
		n := copy(p, t.ready)
		t.ready = t.ready[n:]
		return n, nil
	}
	if t.ended != nil {
		return 0, t.ended
	}
	n, err := t.ReadCloser.Read(p)
	if err := t.check(p[:n]); err != nil {
		return 0, err
	}
	return n, err
}

func (t *textBody) check(piece []byte) error {
	if t.strict && bytes.ContainsFunc(piece, isControl) || t.compressed(piece) {
		return fault.New("answer", fault.BadUpstream, "the upstream sent a compressed answer and did not say so; it can't be checked for secrets")
	}
	return nil
}

func isControl(r rune) bool { return r < ' ' && r != '\n' && r != '\r' && r != '\t' }

// compressed reports whether the body begins as one that is.
func (t *textBody) compressed(piece []byte) bool {
	if t.decided {
		return false
	}
	t.marked += copy(t.mark[t.marked:], piece)
	first := string(t.mark[:t.marked])
	t.decided = true
	for _, mark := range [...]string{
		"\x1f\x8b", "\x1f\x9d", "\x1f\xa0", // gzip, compress
		"\x28\xb5\x2f\xfd",                             // zstd (RFC 8878)
		"\x78\x01", "\x78\x5e", "\x78\x9c", "\x78\xda", // zlib (RFC 1950), which HTTP calls deflate
		"\xfd7zXZ\x00", "BZh91AY&", "\x04\x22\x4d\x18", // xz, bzip2, LZ4
	} {
		if strings.HasPrefix(first, mark) {
			return true
		}
		t.decided = t.decided && !strings.HasPrefix(mark, first)
	}
	return false
}
