package injector

import (
	"errors"
	"io"
	"net/http"
	"strings"

	"mintmark/internal/coding"
	"mintmark/internal/fault"
)

// mostDecoding is how many bytes the answers of one upstream that are decoded at once
// may hold.
const mostDecoding = 256 << 20

// decode makes resp, the answer to a request of this method, one without content
// codings, and sets Uncompressed where its body is now decoded as it is read, in what
// room there is. None is asked for, but servers send what they have. A part of something compressed is
// refused: it has no beginning to decode from.
func decode(method string, resp *http.Response, room *coding.Room) error {
	said := resp.Header["Content-Encoding"]
	if len(said) == 0 {
		return nil
	}
	codings, err := coding.Parse(said)
	if err != nil {
		return fault.Wrap("forward", fault.BadUpstream, "the upstream sent a compressed answer in a coding that can't be undone; it can't be checked for secrets", err)
	}
	delete(resp.Header, "Content-Encoding")
	if len(codings) == 0 {
		return nil
	}
	if resp.StatusCode == http.StatusPartialContent {
		return fault.New("forward", fault.BadUpstream, "the upstream sent a part of a compressed answer; it can't be checked for secrets")
	}
	for _, name := range [...]string{"Content-Length", "Accept-Ranges", "Content-Range"} { // of the compressed form
		delete(resp.Header, name)
	}
	if tag := resp.Header.Get("Etag"); strings.HasPrefix(tag, `"`) {
		resp.Header.Set("Etag", "W/"+tag) // a strong one is of the compressed form (RFC 9110, section 8.8.3)
	}
	resp.ContentLength = -1
	if method == http.MethodHead || resp.StatusCode == http.StatusNoContent || resp.StatusCode == http.StatusNotModified {
		return nil
	}
	resp.Uncompressed = true
	resp.Body = decodedBody{coding.NewReader(resp.Body, codings, room)}
	return nil
}

// decodedBody is a body whose decoding may fail with a *fault.Error.
type decodedBody struct{ *coding.Reader }

// Read implements io.Reader.
func (b decodedBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == nil || errors.Is(err, io.EOF) {
		return n, err
	}
	if e, ok := errors.AsType[*coding.Error](err); ok {
		err = fault.Wrap("answer", fault.BadUpstream, "the upstream's compressed answer ("+e.Coding+") can't be checked for secrets: "+e.Reason, err)
	}
	return n, err
}
