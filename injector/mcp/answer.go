package mcp

// Answer is one message of a server, cut but not judged. Its slices alias the
// text it was read from.
type Answer struct {
	Kind    Kind
	ID      []byte // as it stands; nil for a notification, and null where a server could not read the question's
	Method  string // what a server asks or tells a client
	Params  []byte
	Result  Object // of a Response that succeeded
	Failure Object // of a Response that did not
	Text    Object // the whole message
}

// ReadAnswer reads one message of a server. It returns an *Error for a message
// that two readers could read differently.
func ReadAnswer(message []byte) (Answer, error) {
	o, err := cutNamed(message, topNames[:])
	if err != nil {
		return Answer{}, err
	}
	a := Answer{ID: o.Get("id"), Method: o.Text("method"), Params: o.Get("params"), Text: o}
	result, failure := o.Get("result"), o.Get("error")
	switch {
	case a.Method != "" && result == nil && failure == nil && a.ID == nil:
		a.Kind = Notification
	case a.Method != "" && result == nil && failure == nil:
		a.Kind = Request
	case a.Method == "" && result != nil && failure == nil && a.ID != nil:
		a.Kind = Response
		a.Result, err = CutObject(result)
	case a.Method == "" && result == nil && failure != nil:
		a.Kind = Response
		a.Failure, err = CutObject(failure)
	default:
		err = invalidRequest("expected a request, a notification or an answer, got none of them")
	}
	if err != nil {
		return Answer{}, err
	}
	return a, nil
}
