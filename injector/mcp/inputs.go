package mcp

// The members by which the stateless revision asks a client for input and gets
// it (MCP 2026-07-28, Multi Round-Trip Requests).
const (
	inputRequests  = "inputRequests"
	inputResponses = "inputResponses"
	requestState   = "requestState"
)

// maxInputs is how much input one result may ask for.
const maxInputs = 32

// Input is what a server wants from the client before it completes a request.
type Input struct {
	Requests []InputRequest // none: try again
	State    []byte         // a JSON string for the server alone, as it came, or nil
}

// InputRequest is one thing that a server asks a client for.
type InputRequest struct {
	Key    string // by which the server knows the answer
	Method string
	Params []byte // an object, or nil
}

// Inputs returns what result, an answer to method, asks for, and nil when it is
// complete. It returns an *Error for a result that is neither.
func Inputs(method string, result Object) (*Input, error) {
	if result.Get("resultType") == nil {
		return nil, nil
	}
	switch kind := result.Text("resultType"); {
	case kind == "complete":
		return nil, nil
	case kind == "input_required" && (method == "tools/call" || method == "prompts/get" || method == "resources/read"):
		return readInput(result)
	default:
		return nil, invalidRequest("expected a result of the type complete, got %q, which sessions have no words for", kind)
	}
}

func readInput(result Object) (*Input, error) {
	in := &Input{State: result.Get(requestState)}
	if in.State != nil && in.State[0] != '"' {
		return nil, invalidRequest("expected requestState to be a string, got %s", KindOf(in.State))
	}
	raw := result.Get(inputRequests)
	if raw == nil && in.State == nil {
		return nil, invalidRequest("expected inputRequests or requestState in a result that requires input, got neither")
	}
	if raw == nil {
		return in, nil
	}
	asked, err := CutObject(raw)
	if err != nil {
		return nil, err
	}
	if len(asked) > maxInputs {
		return nil, invalidRequest("expected at most %d inputRequests, got %d", maxInputs, len(asked))
	}
	for _, m := range asked {
		one, err := CutObject(m.Value)
		if err != nil {
			return nil, err
		}
		params := one.Get("params")
		if params != nil && !isObject(params) {
			return nil, invalidRequest("expected the params of an input request to be an object, got %s", KindOf(params))
		}
		in.Requests = append(in.Requests, InputRequest{Key: m.Name, Method: one.Text("method"), Params: params})
	}
	return in, nil
}

// InputRequest returns the request, with the given id, by which a session asks
// its client for r. It returns an *Error for what the client did not say it can
// do: a server must not ask for that.
func (c Client) InputRequest(r InputRequest, id string) ([]byte, error) {
	can, err := CutObject(c.Capabilities)
	if err != nil {
		return nil, err
	}
	switch r.Method {
	case "elicitation/create":
		return c.elicitation(r, id, can.Get("elicitation"))
	case "sampling/createMessage":
		if can.Get("sampling") == nil {
			return nil, undeclared(r.Method)
		}
	case "roots/list":
		if can.Get("roots") == nil {
			return nil, undeclared(r.Method)
		}
	default:
		return nil, invalidRequest("expected a request for elicitation, sampling or roots, got %q", r.Method)
	}
	return request(Quote(id), r.Method, r.Params), nil
}

// elicitation words the request in the client's revision: before 2025-11-25
// there is no mode but the form, and in it a URL has an id of its own.
func (c Client) elicitation(r InputRequest, id string, can []byte) ([]byte, error) {
	if can == nil {
		return nil, undeclared(r.Method)
	}
	modes, err := CutObject(can)
	if err != nil {
		return nil, err
	}
	params, err := CutObject(r.Params)
	if err != nil {
		return nil, err
	}
	const modern = "2025-11-25"
	switch mode := params.Text("mode"); {
	case mode == "url" && modes.Get("url") != nil && c.Revision >= modern:
		params = params.With("elicitationId", Quote(id))
	case mode == "url":
		return nil, undeclared("elicitation by URL")
	case mode != "" && mode != "form":
		return nil, invalidRequest("expected elicitation by form or URL, got %q", mode)
	case modes.Get("form") == nil && modes.Get("url") != nil:
		return nil, undeclared("elicitation by form")
	case c.Revision < modern:
		params = params.Without("mode")
	}
	return request(Quote(id), r.Method, params.JSON()), nil
}

func undeclared(what string) error {
	return invalidRequest("expected input that this client said it can give, got a request for %s", what)
}

// Again returns message, which ToStateless made, as the request that follows a
// result that required input: under a new id, with the client's answers by their
// keys and the server's state as it came.
func Again(message []byte, id string, answers Object, in *Input) ([]byte, error) {
	p, err := cutParts(message)
	if err != nil {
		return nil, err
	}
	p.params = p.params.Without(inputResponses, requestState)
	if len(in.Requests) > 0 {
		p.params = p.params.With(inputResponses, answers.JSON())
	}
	if in.State != nil {
		p.params = p.params.With(requestState, in.State)
	}
	p.top = p.top.With("id", Quote(id))
	return p.JSON(), nil
}
