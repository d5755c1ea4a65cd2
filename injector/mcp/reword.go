package mcp

const (
	metaLevel      = "io.modelcontextprotocol/logLevel"
	tasksExtension = "io.modelcontextprotocol/tasks"
)

// ClientName returns what an initialize request says of its client, by which
// people know it: name, title and version.
func ClientName(initialize []byte) (Object, error) {
	_, params, err := cutRequest(initialize)
	if err != nil || params.Get("clientInfo") == nil {
		return nil, err
	}
	info, err := CutObject(params.Get("clientInfo"))
	if err != nil {
		return nil, err
	}
	name := Object{}
	for _, member := range [...]string{"name", "title", "version"} {
		if text := info.Text(member); text != "" {
			name = name.With(member, Quote(text))
		}
	}
	return name, nil
}

// Stated returns a request of a revision with sessions as the stateless one has
// it: it states that revision and its client, which can be asked for nothing.
func Stated(request []byte, client Object) ([]byte, error) {
	return editMeta(request, func(meta Object) (Object, error) {
		meta = meta.With(metaVersion, Quote(Stateless)).With(metaCapabilities, []byte(`{}`))
		if len(client) > 0 {
			meta = meta.With(metaClientInfo, client.JSON())
		}
		return meta, nil
	})
}

// Unstated undoes Stated, for a server with sessions, and returns who the client
// is.
func Unstated(request []byte) (plain []byte, client Object, err error) {
	plain, err = editMeta(request, func(meta Object) (Object, error) {
		if info := meta.Get(metaClientInfo); info != nil {
			if client, err = CutObject(info); err != nil {
				return nil, err
			}
		}
		return meta.Without(metaVersion, metaClientInfo, metaCapabilities, metaLevel), nil
	})
	return plain, client, err
}

// WithoutTasks returns a request whose client can't take a task for an answer. It
// returns an *Error for one that asks for a task.
func WithoutTasks(request []byte) ([]byte, error) {
	o, params, err := cutRequest(request)
	if err != nil {
		return nil, err
	}
	if params.Get("task") != nil {
		return nil, invalidParams(`expected no "task" where several upstreams are one; tasks are served at /mcp/NAME`)
	}
	meta, err := CutObject(params.Get("_meta"))
	if err != nil {
		return request, nil //nolint:nilerr // it states no capabilities
	}
	capabilities, err := CutObject(meta.Get(metaCapabilities))
	if err != nil {
		return request, nil //nolint:nilerr // the server checks them
	}
	extensions, err := CutObject(capabilities.Get("extensions"))
	if err != nil || extensions.Get(tasksExtension) == nil {
		return request, nil //nolint:nilerr // there is nothing to take out
	}
	capabilities = capabilities.With("extensions", extensions.Without(tasksExtension).JSON())
	meta = meta.With(metaCapabilities, capabilities.JSON())
	return o.With("params", params.With("_meta", meta.JSON()).JSON()).JSON(), nil
}

// Cursor returns where a list's question is to go on, or "" for its beginning.
func Cursor(request []byte) (string, error) {
	_, params, err := cutRequest(request)
	if err != nil {
		return "", err
	}
	cursor := params.Text("cursor")
	if raw := params.Get("cursor"); cursor == "" && raw != nil && string(raw) != "null" {
		return "", invalidParams(`expected "cursor" to be a string that a list gave`)
	}
	return cursor, nil
}

// WithCursor returns a list's question that goes on at cursor; "" is its
// beginning.
func WithCursor(request []byte, cursor string) ([]byte, error) {
	o, params, err := cutRequest(request)
	if err != nil {
		return nil, err
	}
	params = params.Without("cursor")
	if cursor != "" {
		params = params.With("cursor", Quote(cursor))
	}
	return o.With("params", params.JSON()).JSON(), nil
}

// editMeta edits params._meta of a request, where one that is absent is empty
// and one that becomes empty goes.
func editMeta(request []byte, with func(meta Object) (Object, error)) ([]byte, error) {
	o, params, err := cutRequest(request)
	if err != nil {
		return nil, err
	}
	var meta Object
	if raw := params.Get("_meta"); raw != nil {
		if meta, err = CutObject(raw); err != nil {
			return nil, err
		}
	}
	if meta, err = with(meta); err != nil {
		return nil, err
	}
	params = params.Without("_meta")
	if len(meta) > 0 {
		params = params.With("_meta", meta.JSON())
	}
	return o.With("params", params.JSON()).JSON(), nil
}

// WithID returns a request with another id.
func WithID(request, id []byte) ([]byte, error) {
	o, err := CutObject(request)
	if err != nil {
		return nil, err
	}
	return o.With("id", id).JSON(), nil
}
