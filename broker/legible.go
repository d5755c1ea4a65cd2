package broker

import (
	"bytes"
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
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if c.injection == nil || !isText(kind) {
		return nil
	}
	t := &textBody{ReadCloser: resp.Body, strict: isJSONType(kind) || kind == "text/event-stream" && !c.plain}
	resp.Body = t
	if isStream(resp) {
		return nil
	}
	defer b.streams.add(c)()
	first := make([]byte, 512)
	n, err := io.ReadAtLeast(t, first, longestMark)
	if isFault(err) {
		return err
	}
	resp.Body = body{io.MultiReader(bytes.NewReader(first[:n]), t), t}
	return nil
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
	strict  bool   // no character may be in it that JSON does not have
	first   []byte // as long as they may be a mark
	decided bool
}

// longestMark is the length of the longest beginning that is looked for.
const longestMark = 8

// Read implements io.Reader.
func (t *textBody) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	if t.compressed(p[:n]) {
		return 0, fault.New("answer", fault.BadUpstream, "the upstream sent a compressed answer and did not say so; it can't be checked for secrets")
	}
	return n, err
}

func (t *textBody) compressed(piece []byte) bool {
	if t.strict && bytes.ContainsFunc(piece, func(r rune) bool { return r < ' ' && r != '\n' && r != '\r' && r != '\t' }) {
		return true
	}
	if t.decided {
		return false
	}
	t.first = append(t.first, piece[:min(len(piece), longestMark)]...)
	t.decided = true
	for _, mark := range [...]string{
		"\x1f\x8b", "\x1f\x9d", "\x1f\xa0", // gzip, compress
		"\x28\xb5\x2f\xfd",                 // zstd (RFC 8878)
		"\x78\x01", "\x78\x9c", "\x78\xda", // zlib (RFC 1950), which HTTP calls deflate
		"\xfd7zXZ\x00", "BZh91AY&", "\x04\x22\x4d\x18", // xz, bzip2, LZ4
	} {
		if bytes.HasPrefix(t.first, []byte(mark)) {
			return true
		}
		t.decided = t.decided && !strings.HasPrefix(mark, string(t.first))
	}
	return false
}
