package mcp

import (
	"fmt"
	"net/http"
	"strings"
)

// Where several upstreams are one, each name says which upstream it is of. What
// comes before is a registered name, of lower-case letters, digits and hyphens:
// it has neither an underscore nor a colon, so that the first separator is the
// one that was put there, whatever an upstream calls its own.
const (
	nameSeparator = "__"        // orders__lookup
	uriScheme     = "mintmark+" // mintmark+orders:file:///orders/7
)

// JoinName returns the name that stands for an upstream's tool or prompt.
func JoinName(upstream, name string) string { return upstream + nameSeparator + name }

// SplitName undoes JoinName.
func SplitName(joined string) (upstream, name string, ok bool) {
	upstream, name, ok = strings.Cut(joined, nameSeparator)
	return upstream, name, ok && upstream != "" && name != ""
}

// JoinURI returns the URI that stands for an upstream's resource, or the template
// for its template. The original follows byte for byte.
func JoinURI(upstream, uri string) string { return uriScheme + upstream + ":" + uri }

// SplitURI undoes JoinURI.
func SplitURI(joined string) (upstream, uri string, ok bool) {
	rest, ok := strings.CutPrefix(joined, uriScheme)
	if !ok {
		return "", "", false
	}
	upstream, uri, ok = strings.Cut(rest, ":")
	return upstream, uri, ok && upstream != "" && uri != ""
}

// Unprefix returns the upstream that a request names, and the request as that
// upstream knows it: its tool, prompt or resource goes by its own name, and
// every other value stays as it was, byte for byte. It returns an *Error for a
// request that names no upstream.
func Unprefix(request []byte) (upstream string, own []byte, err error) {
	p, err := cutParts(request)
	if err != nil {
		return "", nil, err
	}
	switch method := p.top.Text("method"); method {
	case "tools/call", "prompts/get":
		upstream, p.params, err = unprefixName(p.params)
	case "resources/read":
		upstream, p.params, err = unprefixURI(p.params)
	case "completion/complete":
		upstream, p.params, err = unprefixRef(p.params)
	default:
		err = invalidParams("expected a method that names what it is for, got %q", method)
	}
	if err != nil {
		return "", nil, err
	}
	return upstream, p.JSON(), nil
}

func unprefixName(o Object) (string, Object, error) {
	upstream, name, ok := SplitName(o.Text("name"))
	if !ok {
		return "", nil, UnknownPrefix(o.Text("name"))
	}
	return upstream, o.With("name", Quote(name)), nil
}

func unprefixURI(o Object) (string, Object, error) {
	upstream, uri, ok := SplitURI(o.Text("uri"))
	if !ok {
		return "", nil, UnknownPrefix(o.Text("uri"))
	}
	return upstream, o.With("uri", Quote(uri)), nil
}

func unprefixRef(params Object) (string, Object, error) {
	ref, err := CutObject(params.Get("ref"))
	if err != nil {
		return "", nil, err
	}
	unprefix := unprefixName
	if ref.Get("uri") != nil {
		unprefix = unprefixURI
	}
	upstream, ref, err := unprefix(ref)
	if err != nil {
		return "", nil, err
	}
	return upstream, params.With("ref", ref.JSON()), nil
}

// UnknownPrefix is the refusal of a name or URI that names no upstream. It says
// which form is expected and not which upstreams there are. It comes under HTTP
// 200, as a server's own refusal of a name does: clients keep their session.
func UnknownPrefix(got string) error {
	return &Error{Code: CodeInvalidParams, Status: http.StatusOK, Message: fmt.Sprintf(
		"expected NAME%sTOOL, or %sNAME:URI for a resource, with the name of an upstream as the lists give it, got %q", nameSeparator, uriScheme, got)}
}

// Listed returns the entries in the result of a list's question, each under the
// name that stands for it where several upstreams are one. An entry whose name
// would be too long to call it by is left out.
func Listed(method, upstream string, result Object) ([][]byte, error) {
	l, ok := listingOf(method)
	list := result.Get(l.member)
	if !ok || len(list) == 0 || list[0] == 'n' {
		return nil, nil
	}
	elements, err := CutArray(list)
	if err != nil {
		return nil, err
	}
	named := elements[:0:0]
	for _, element := range elements {
		o, err := CutObject(element)
		if err != nil {
			return nil, err
		}
		if name := l.join(upstream, o.Text(l.id)); len(name) <= maxNameLength {
			named = append(named, o.With(l.id, Quote(name)).JSON())
		}
	}
	return named, nil
}

// ListMember returns the member of a result that holds the list which method
// asks for, or "".
func ListMember(method string) string {
	l, _ := listingOf(method)
	return l.member
}

func listingOf(method string) (listing, bool) {
	all := listings()
	switch method {
	case "tools/list":
		return all[0], true
	case "prompts/list":
		return all[1], true
	case "resources/list":
		return all[2], true
	case "resources/templates/list":
		return all[3], true
	}
	return listing{}, false
}

func (l listing) join(upstream, name string) string {
	if l.id == "name" {
		return JoinName(upstream, name)
	}
	return JoinURI(upstream, name)
}

// PrefixResult returns the result of a call of method with the URIs of resources
// in it as a client can read them where several upstreams are one: those that
// were read, embedded, or linked to. Everything else stays as it was, byte for
// byte.
func PrefixResult(method, upstream string, result Object) (Object, error) {
	content := eachObject(func(o Object) (Object, error) { return prefixContent(upstream, o) })
	switch method {
	case "tools/call":
		return result.edit("content", content)
	case "prompts/get":
		return result.edit("messages", eachObject(func(o Object) (Object, error) { return o.edit("content", content) }))
	case "resources/read":
		return result.edit("contents", eachObject(func(o Object) (Object, error) { return o.prefixURI(upstream), nil }))
	}
	return result, nil
}

// PrefixNotification returns a notification with the URI of the resource that it
// is about as PrefixResult has it.
func PrefixNotification(upstream string, n Answer) (Object, error) {
	if n.Method != "notifications/resources/updated" {
		return n.Text, nil
	}
	return n.Text.edit("params", eachObject(func(o Object) (Object, error) { return o.prefixURI(upstream), nil }))
}

// prefixContent edits one block of content.
func prefixContent(upstream string, block Object) (Object, error) {
	switch block.Text("type") {
	case "resource_link":
		return block.prefixURI(upstream), nil
	case "resource":
		return block.edit("resource", eachObject(func(o Object) (Object, error) { return o.prefixURI(upstream), nil }))
	}
	return block, nil
}

func (o Object) prefixURI(upstream string) Object {
	if uri := o.Text("uri"); uri != "" {
		return o.With("uri", Quote(JoinURI(upstream, uri)))
	}
	return o
}

// edit returns o with the value of a member edited, where it has one.
func (o Object) edit(name string, with func(value []byte) ([]byte, error)) (Object, error) {
	value := o.Get(name)
	if len(value) == 0 {
		return o, nil
	}
	edited, err := with(value)
	if err != nil {
		return nil, err
	}
	return o.With(name, edited), nil
}

// eachObject edits a value that is an object, or the objects in one that is an
// array. Other values stay.
func eachObject(with func(Object) (Object, error)) func(value []byte) ([]byte, error) {
	one := func(value []byte) ([]byte, error) {
		if value[0] != '{' {
			return value, nil
		}
		o, err := CutObject(value)
		if err != nil {
			return nil, err
		}
		if o, err = with(o); err != nil {
			return nil, err
		}
		return o.JSON(), nil
	}
	return func(value []byte) ([]byte, error) {
		if value[0] != '[' {
			return one(value)
		}
		elements, err := CutArray(value)
		if err != nil {
			return nil, err
		}
		for i := range elements {
			if elements[i], err = one(elements[i]); err != nil {
				return nil, err
			}
		}
		return JoinArray(elements), nil
	}
}
