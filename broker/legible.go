package broker

import (
	"encoding/binary"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"

	"mintmark/internal/fault"
)

// legible holds an answer to what its head says: text that can be looked through
// for secrets. An upstream that compresses without saying so, or a server before it
// that lost the header, would hide them. It is asked of answers in which there may be
// secrets. One that said that it is compressed must be so, whatever it is. It reads
// no further than the first bytes, and nothing of a stream, which it cuts instead.
func (b *Broker) legible(c *call, resp *http.Response) error {
	kind := mediaType(resp)
	text := c.guards() && isText(kind)
	if !text && !resp.Uncompressed {
		return nil
	}
	t := &textBody{ReadCloser: resp.Body, decided: !text, strict: text && (isJSONType(kind) || isJSONLines(kind) || kind == "text/event-stream" && !c.plain)}
	resp.Body = t
	if isStream(resp) {
		return nil
	}
	defer b.streams.add(c)()
	return t.begin(resp.ContentLength)
}

// mediaType returns the type of an answer without its parameters, or "". Whatever depends
// on the type asks here: over HTTP/2 it may come with blanks around it, which a second
// reading could take for another type.
func mediaType(resp *http.Response) string {
	kind := resp.Header.Get("Content-Type")
	if kind != "application/json" && kind != "text/event-stream" { // as most are
		kind, _, _ = mime.ParseMediaType(kind)
	}
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

// isJSONLines reports whether a media type is of JSON texts, one on each line.
func isJSONLines(kind string) bool {
	return kind == "application/x-ndjson" || kind == "application/ndjson" || kind == "application/jsonl"
}

// textBody is a body that must not turn out to be compressed.
type textBody struct {
	io.ReadCloser
	held    []byte
	err     error // after what is held
	strict  bool  // no character may be in it that JSON does not have
	decided bool  // mark is none
	mark    [longestLook]byte
	marked  int // how much of mark is known
}

// longestLook is how many bytes are looked at, where fewer do not tell what a body is.
const longestLook = 24

// mostHeld is how much of a body is read before its answer begins, at most: more than
// many have in all.
const mostHeld = 512

// begin reads until it is known whether the body may be given on, and returns a
// *fault.Error when it may not. It reads no more: who sent a word may wait before the next.
// length is that of the body, and negative where it is not known.
func (t *textBody) begin(length int64) error {
	room := int64(mostHeld)
	if length >= 0 {
		room = min(room, max(length, longestLook)+1) // one more than comes: the end may come by itself
	}
	t.held = make([]byte, 0, room)
	for (len(t.held) == 0 || !t.decided) && t.err == nil {
		var n int
		n, t.err = t.next(t.held[len(t.held):cap(t.held)])
		t.held = t.held[:len(t.held)+n]
	}
	if isFault(t.err) {
		return t.err
	}
	return nil
}

// Read implements io.Reader.
func (t *textBody) Read(p []byte) (int, error) {
	if len(t.held) > 0 {
		n := copy(p, t.held)
		if t.held = t.held[n:]; len(t.held) > 0 {
			return n, nil
		}
		return n, t.err
	}
	if t.err != nil {
		return 0, t.err
	}
	return t.next(p)
}

func (t *textBody) next(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	if t.compressed(p[:n]) {
		return 0, fault.New("answer", fault.BadUpstream, "the upstream sent a compressed answer and did not say so; it can't be checked for secrets")
	}
	return n, err
}

func (t *textBody) compressed(piece []byte) bool {
	if t.strict && hasControls(piece) {
		return true
	}
	if t.decided {
		return false
	}
	t.marked += copy(t.mark[t.marked:], piece)
	is, may := marked(t.mark[:t.marked])
	t.decided = !may
	return is
}

// marked reports whether a body that begins so is compressed, and whether it may be.
func marked(first []byte) (is, may bool) {
	for _, mark := range [...]string{
		"\x1f\x8b", "\x1f\x9d", "\x1f\xa0", // gzip, compress
		"\x28\xb5\x2f\xfd",                             // zstd (RFC 8878)
		"\xfd7zXZ\x00", "BZh91AY&", "\x04\x22\x4d\x18", // xz, bzip2, LZ4
	} {
		if strings.HasPrefix(string(first), mark) {
			return true, false
		}
		may = may || strings.HasPrefix(mark, string(first))
	}
	is, mayBeZlib := zlibbed(first)
	return is, may || mayBeZlib
}

// zlibbed is marked for zlib (RFC 1950), which HTTP calls deflate. Some of its heads
// are text too: "x^", which is that of some levels, and those of a dictionary, "x?" and
// "x ". What follows them tells.
func zlibbed(first []byte) (is, may bool) {
	if len(first) < 2 || first[0] != 0x78 || (0x7800+int(first[1]))%31 != 0 {
		return false, len(first) == 0 || len(first) == 1 && first[0] == 0x78
	}
	for i := 1; i < len(first); {
		r, n := utf8.DecodeRune(first[i:])
		if r == utf8.RuneError && n == 1 && utf8.FullRune(first[i:]) || r < ' ' && !strings.ContainsRune("\t\n\f\r\x1b", r) {
			return true, false
		}
		i += n
	}
	return false, len(first) < longestLook
}

// hasControls reports whether a character is in piece that JSON does not have. It looks
// at eight bytes at once, and at each where one is below a space.
func hasControls(piece []byte) bool {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for ; len(piece) >= 8; piece = piece[8:] {
		if w := binary.LittleEndian.Uint64(piece); (w-' '*ones)&^w&highs != 0 && anyControl(piece[:8]) {
			return true
		}
	}
	return anyControl(piece)
}

func anyControl(piece []byte) bool {
	for _, c := range piece {
		if c < ' ' && c != '\n' && c != '\r' && c != '\t' {
			return true
		}
	}
	return false
}
