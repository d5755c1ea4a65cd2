package mcp

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
)

// NewestWithSessions is the newest revision whose servers keep sessions.
const NewestWithSessions = "2025-11-25"

// Sender is what a stateless request says of who sends it, which a server with
// sessions is told when a session begins, and what belongs to the request alone.
type Sender struct {
	Info         []byte // clientInfo, a JSON object
	Capabilities Object // what it may be asked, as revisions with sessions word it
	LogLevel     string // the least level of log messages that it wants, or "" for none
	Progress     []byte // progressToken, or nil

	State     string // requestState: the request goes on where an earlier one stopped
	Responses Object // inputResponses
}

// SenderOf reads the sender of a stateless request. It returns an *Error.
func SenderOf(m *Message) (Sender, error) {
	p, err := cutParts(m.Raw)
	if err != nil {
		return Sender{}, err
	}
	params, meta := p.params, p.meta
	if params.Get("task") != nil {
		return Sender{}, invalidParams("expected no params.task: this upstream's tasks belong to revisions with sessions, and mintmark does not carry them over")
	}
	s := Sender{Info: meta.Get(metaClientInfo), LogLevel: meta.Text(metaLogLevel), Progress: meta.Get(progressToken), State: params.Text(requestState)}
	if s.Info == nil {
		s.Info = []byte(`{"name":"agent","version":"0"}`)
	}
	if _, err := CutObject(s.Info); err != nil {
		return Sender{}, invalidParams("expected params._meta[%q] to be an object, got %s", metaClientInfo, KindOf(s.Info))
	}
	stated, err := CutObject(meta.Get(metaCapabilities))
	if err != nil {
		return Sender{}, invalidParams("expected params._meta[%q], an object, which revision %s has on every request, got %s", metaCapabilities, Stateless, KindOf(meta.Get(metaCapabilities)))
	}
	if s.Capabilities, err = toSessionCapabilities(stated); err != nil {
		return Sender{}, err
	}
	if s.State == "" { // input that nobody asked for is not read
		if params.Get(requestState) != nil {
			return Sender{}, invalidParams("expected params.requestState as it came with the request for input, got no string or an empty one")
		}
		return s, nil
	}
	if raw := params.Get(inputResponses); raw != nil {
		if s.Responses, err = CutObject(raw); err != nil {
			return Sender{}, invalidParams("expected params.inputResponses to be an object, got %s", KindOf(raw))
		}
	}
	return s, nil
}

// toSessionCapabilities keeps what means the same in both eras. Extensions,
// experiments and tasks rest on rules of their own revision, and a change of
// roots can't be told without a session of the client's own.
func toSessionCapabilities(stated Object) (kept Object, err error) {
	kept = Object{}
	for _, name := range [...]string{"roots", "sampling", "elicitation"} {
		raw := stated.Get(name)
		if raw == nil {
			continue
		}
		o, err := CutObject(raw)
		if err != nil {
			return nil, invalidParams("expected the capability %q to be an object, got %s", name, KindOf(raw))
		}
		if name == "roots" {
			o = o.Without("listChanged")
		}
		kept = kept.With(name, o.JSON())
	}
	return kept, nil
}

// Initialize is the message that begins a session for s.
func (s Sender) Initialize(id []byte) []byte {
	params := Object{}.With("protocolVersion", Quote(NewestWithSessions)).With("capabilities", s.Capabilities.JSON()).With("clientInfo", s.Info)
	return request(id, "initialize", params.JSON())
}

// ToSessions returns a stateless request as a server with sessions wants it,
// under another id: the same call, byte for byte, without what the session says.
// It returns an *Error.
func ToSessions(m *Message, id []byte) ([]byte, error) {
	p, err := cutParts(m.Raw)
	if err != nil {
		return nil, err
	}
	p.meta = p.meta.Without(metaVersion, metaClientInfo, metaCapabilities, metaLogLevel)
	p.params = p.params.Without(inputResponses, requestState)
	p.top = p.top.With("id", id)
	return p.JSON(), nil
}

// SameCall reports whether b makes the call that a makes: the same method on the
// same target with the very same arguments.
func SameCall(a, b *Message) bool {
	return a.Kind == b.Kind && a.Method == b.Method && a.TargetOf == b.TargetOf && a.Target == b.Target &&
		(a.Arguments == nil) == (b.Arguments == nil) && bytes.Equal(a.Arguments, b.Arguments)
}

// Discovery is what a server said when a session began, and the answer to
// server/discover that says the same.
type Discovery struct {
	Revision string // that the session is in
	Logs     bool   // the server sends log messages once it is told their level
	Result   Object
}

// Discover makes a Discovery of the result of initialize. It returns an *Error
// for a revision that is not known, or that has no sessions.
func Discover(initialized Object) (Discovery, error) {
	d := Discovery{Revision: initialized.Text("protocolVersion")}
	if d.Revision == Stateless || !slices.Contains(Versions(), d.Revision) {
		return Discovery{}, unsupportedVersion(d.Revision)
	}
	capabilities := Object{}
	if raw := initialized.Get("capabilities"); raw != nil {
		stated, err := CutObject(raw)
		if err != nil {
			return Discovery{}, err
		}
		d.Logs = stated.Get("logging") != nil
		for _, name := range [...]string{"tools", "prompts", "resources", "completions", "logging"} {
			if stated.Get(name) != nil {
				// Without listChanged and subscribe: what changes is told on
				// streams that only a session has.
				capabilities = capabilities.With(name, []byte("{}"))
			}
		}
	}
	d.Result = Object{}.With("resultType", []byte(`"complete"`)).
		With("supportedVersions", JoinArray([][]byte{Quote(Stateless)})).
		With("capabilities", capabilities.JSON())
	if text := initialized.Text("instructions"); text != "" {
		d.Result = d.Result.With("instructions", Quote(text))
	}
	d.Result = uncached(d.Result)
	if info := initialized.Get("serverInfo"); info != nil {
		d.Result = d.Result.With("_meta", Object{}.With(metaServerInfo, info).JSON())
	}
	return d, nil
}

// uncached marks a result as one that nobody may keep, where it says nothing of
// it, and never for another agent.
func uncached(result Object) Object {
	if result.Get("ttlMs") == nil {
		result = result.With("ttlMs", []byte("0"))
	}
	return result.With("cacheScope", []byte(`"private"`))
}

// Complete returns the answer a, of a server with sessions to a request of the
// given method, as the stateless revision words it under id, with the HTTP
// status that it comes with. It returns an *Error for a result that some clients
// would read as another.
func (a Answer) Complete(method string, id []byte) (message []byte, status int, err error) {
	if a.Failure != nil {
		code, status := toStatelessCode(method, a.Failure.Get("code"))
		return response(id, "error", a.Failure.With("code", code).JSON()), status, nil
	}
	if err := unmistakable(a.Result, []string{"resultType", inputRequests, requestState, "ttlMs", "cacheScope"}); err != nil {
		return nil, 0, err
	}
	// Only mintmark asks the agent for input here, having looked at what for.
	result := a.Result.Without(inputRequests, requestState).With("resultType", []byte(`"complete"`))
	if Lists(method) {
		result = uncached(result)
	}
	return response(id, "result", result.JSON()), http.StatusOK, nil
}

// NeedsTask reports whether e is a tool that can be called as a task only
// (MCP 2025-11-25, Tasks), or one of which that can't be told.
func (e Entry) NeedsTask() bool {
	o, err := cutNamed(e.Raw, []string{"execution"})
	if err != nil || o.Get("execution") == nil {
		return err != nil
	}
	execution, err := cutNamed(o.Get("execution"), []string{"taskSupport"})
	return err != nil || execution.Text("taskSupport") == "required"
}

// toStatelessCode returns an error's code and the HTTP status that the stateless
// revision answers it with. A code that the revision gives another meaning, or
// none, becomes "internal error"; its message stays.
func toStatelessCode(method string, code []byte) ([]byte, int) {
	switch string(code) {
	case "-32601":
		return code, http.StatusNotFound
	case "-32602":
		return code, http.StatusBadRequest
	case "-32002": // of a resource that is not there, up to 2025-11-25
		if method == "resources/read" {
			return []byte("-32602"), http.StatusBadRequest
		}
		return []byte("-32603"), http.StatusOK
	}
	if len(code) == len("-32020") && "-32020" <= string(code) && string(code) <= "-32099" || len(code) == 0 || !exactInteger(code) {
		return []byte("-32603"), http.StatusOK
	}
	return code, http.StatusOK
}

// Wants says whether s may be asked what a server's request asks. A code other
// than 0, with a reason, is how the request is to be refused instead, in the
// words of revisions with sessions.
func (s Sender) Wants(a Answer) (code int, why string) {
	params, err := CutObject(a.Params)
	if a.Params != nil && err != nil {
		return CodeInvalidParams, "expected params to be an object, got " + KindOf(a.Params)
	}
	declared := a.Needs()
	if declared == "" || s.Capabilities.Get(declared) == nil {
		return CodeMethodNotFound, fmt.Sprintf("the client has no method %q", a.Method)
	}
	if declared != "elicitation" {
		return 0, ""
	}
	modes, _ := CutObject(s.Capabilities.Get(declared))
	form, url := modes.Get("form") != nil || modes.Get("url") == nil, modes.Get("url") != nil
	if mode := params.Text("mode"); mode == "url" && !url || mode != "url" && !form {
		return CodeInvalidParams, fmt.Sprintf("the client does not take elicitation in mode %q", mode)
	}
	return 0, ""
}

// Needs returns the capability of a client that is asked a, or "".
func (a Answer) Needs() string {
	switch a.Method {
	case "elicitation/create":
		return "elicitation"
	case "sampling/createMessage":
		return "sampling"
	case "roots/list":
		return "roots"
	}
	return ""
}

// Lacking returns the error a, of a server that could not ask its client for want
// of a capability, as the stateless revision words it under id.
func (a Answer) Lacking(id []byte, capability string) []byte {
	required := Object{}.With("requiredCapabilities", Object{}.With(capability, []byte("{}")).JSON())
	return response(id, "error", a.Failure.With("code", fmt.Append(nil, CodeMissingCapability)).With("data", required.JSON()).JSON())
}

// InputKey is what the one question in an InputRequired is known by.
const InputKey = "input"

// InputRequired returns the answer, under id, that asks the client what a
// server's request asks. The members that only a session gives meaning are left
// out of the question. It returns an *Error.
func (a Answer) InputRequired(id []byte, state string) ([]byte, error) {
	params := Object{}
	if a.Params != nil {
		var err error
		if params, err = CutObject(a.Params); err != nil {
			return nil, err
		}
	}
	ask := Object{}.With("method", Quote(a.Method)).With("params", params.Without("elicitationId", "task").JSON())
	result := Object{}.With("resultType", []byte(`"input_required"`)).
		With(inputRequests, Object{}.With(InputKey, ask.JSON()).JSON()).With(requestState, Quote(state))
	return response(id, "result", result.JSON()), nil
}

// Passing returns a server's notification as the stateless request's own stream
// carries it to s, or nil for one that has no place there.
func (s Sender) Passing(a Answer) []byte {
	params, err := CutObject(a.Params)
	if err != nil {
		return nil
	}
	switch a.Method {
	case "notifications/progress":
		if s.Progress == nil {
			return nil
		}
		// The repeated request may have another token than the one that the
		// server knows.
		return a.Text.With("params", params.With(progressToken, s.Progress).JSON()).JSON()
	case "notifications/message":
		least, level := severity(s.LogLevel), severity(params.Text("level"))
		if least < 0 || level < least {
			return nil
		}
		return a.Text.JSON()
	}
	return nil
}

// severity orders the levels of log messages (RFC 5424); -1 is none of them.
func severity(level string) int {
	return slices.Index([]string{"debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"}, level)
}

// Louder reports whether a lets more log messages pass than b. No level lets
// none pass.
func Louder(a, b string) bool {
	return severity(a) >= 0 && (severity(b) < 0 || severity(a) < severity(b))
}

// SetLevel is the message that tells a server with sessions what to log.
func SetLevel(id []byte, level string) []byte {
	return request(id, "logging/setLevel", Object{}.With("level", Quote(level)).JSON())
}

// Initialized is the message that ends the beginning of a session.
func Initialized() []byte { return []byte(`{"jsonrpc":"2.0","method":"notifications/initialized"}`) }

// Cancelled tells a server with sessions that nobody waits for an answer.
func Cancelled(id []byte, reason string) []byte {
	params := Object{}.With("requestId", id).With("reason", Quote(reason))
	return Object{}.With("jsonrpc", []byte(`"2.0"`)).With("method", Quote("notifications/cancelled")).With("params", params.JSON()).JSON()
}
