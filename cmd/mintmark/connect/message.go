package connect

import (
	"bytes"
	"errors"
	"math"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// envelope is what has to be known of a message of the server to carry it.
type envelope struct {
	ID     jsontext.Value `json:"id"`
	Method string         `json:"method"`
	Result jsontext.Value `json:"result"`
	Error  jsontext.Value `json:"error"`
}

// isAnswer reports whether the message answers a request of the client.
func (e *envelope) isAnswer() bool { return e.Method == "" && (e.Result != nil || e.Error != nil) }

var errNoMessage = errors.New("expected a JSON-RPC message, got something else")

// openEnvelope reads a message of the server. What it holds is the client's to
// judge: only what can't be carried is refused.
func openEnvelope(message []byte) (envelope, error) {
	var e envelope
	if err := json.Unmarshal(message, &e, jsontext.AllowDuplicateNames(true)); err != nil {
		return envelope{}, errNoMessage
	}
	if e.Method == "" && !e.isAnswer() {
		return envelope{}, errNoMessage
	}
	return e, nil
}

// split returns the messages in data: one, or the ones of a batch.
func split(data []byte) ([]jsontext.Value, error) {
	if !bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("[")) {
		return []jsontext.Value{data}, nil
	}
	var batch []jsontext.Value
	if err := json.Unmarshal(data, &batch, jsontext.AllowDuplicateNames(true)); err != nil {
		return nil, errNoMessage
	}
	return batch, nil
}

// oneLine returns a message without newlines. Where there are some they stand
// between its tokens, and only what stands there is left out.
func oneLine(message []byte) ([]byte, error) {
	if !bytes.ContainsAny(message, "\r\n") {
		return message, nil
	}
	v := jsontext.Value(bytes.Clone(message))
	if err := v.Compact(); err != nil {
		return nil, errNoMessage
	}
	return v, nil
}

// keyOf returns what two ids have in common that mean the same request, or ""
// for what is no id.
func keyOf(id []byte) string {
	v := jsontext.Value(id)
	switch v.Kind() {
	case '"':
		text, err := jsontext.AppendUnquote(nil, id)
		if err != nil {
			return ""
		}
		return `"` + string(text)
	case '0':
		n, err := strconv.ParseFloat(string(bytes.TrimSpace(id)), 64)
		if err != nil || n != math.Trunc(n) || math.Abs(n) > 1<<53-1 {
			return ""
		}
		return strconv.FormatInt(int64(n), 10)
	}
	return ""
}

// cancelledID returns the id of the request that a notifications/cancelled is
// about, or nil.
func cancelledID(message []byte) []byte {
	var m struct {
		Params struct {
			RequestID jsontext.Value `json:"requestId"`
		} `json:"params"`
	}
	if err := json.Unmarshal(message, &m); err != nil {
		return nil
	}
	return m.Params.RequestID
}
