package awssts

import (
	"bytes"
	"io"
	"net/http"
	"regexp"
)

// wrapped reads an answer whole before the SDK has it: the SDK closes the request's
// body as soon as it has the head of an answer, whereupon net/http may close the
// connection before the rest was read.
//
// It gives the errors of servers that answer STS as they do S3, such as Ceph, the
// element that STS has around them, without which the SDK finds no code in one.
type wrapped struct{ next *http.Client }

// bare matches an error as S3 has it, and what follows the declaration of XML.
var bare = regexp.MustCompile(`(?s)^\s*(?:<\?xml[^>]*\?>\s*)?(<Error>.*)$`)

// Do does one exchange.
func (w wrapped) Do(r *http.Request) (*http.Response, error) {
	answer, err := w.next.Do(r) //nolint:gosec // G704: where to is what the operator registered
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(answer.Body) // the client bounds it
	if closed := answer.Body.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return nil, err
	}
	if found := bare.FindSubmatch(body); found != nil && answer.StatusCode >= http.StatusMultipleChoices {
		body = append(append([]byte("<ErrorResponse>"), found[1]...), "</ErrorResponse>"...)
	}
	answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return answer, nil
}
