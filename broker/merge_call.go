package broker

import (
	"mintmark/broker/bundle"
	"mintmark/injector/mcp"
)

// mergeCall sends a call to the upstream that it names, by the upstream's own
// names, and answers with what comes of it. The decisions that stand for it on
// record are those on what is sent.
func (b *Broker) mergeCall(c *call) error {
	name, message, err := mcp.Unprefix(c.body)
	if err == nil {
		message, err = mcp.WithoutTasks(message)
	}
	if err == nil && !bundle.IsName(name) {
		err = mcp.UnknownPrefix(c.msg.Target)
	}
	if err == nil && c.bridged != nil {
		message, err = c.bridged.client.ToStateless(message)
	}
	if err != nil {
		return err
	}
	leave, err := b.flights.begin(c)
	if err != nil {
		return err
	}
	defer leave()
	r := newReply(c)
	br, err := b.branch(c, name, message)
	if err == nil {
		err = b.rounds(r, br, message)
		br.end(nil)
	}
	if err != nil {
		r.fail(err)
	}
	return nil
}

// mergedResult is an upstream's result as /mcp has it.
func mergedResult(c, f *call, result mcp.Object) (mcp.Object, error) {
	switch kind := result.Text("resultType"); {
	case kind == "" && c.method == "resources/read":
		result = cacheable(result)
	case kind == "":
		result = result.With("resultType", mcp.Quote("complete"))
	case result.Get("cacheScope") != nil:
		result = result.With("cacheScope", mcp.Quote("private"))
	}
	result, err := mcp.PrefixResult(c.method, f.name, result)
	if err != nil {
		return nil, unreadable(err)
	}
	return result, nil
}
