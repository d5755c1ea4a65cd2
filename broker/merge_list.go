package broker

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"mintmark/injector/mcp"
	"mintmark/internal/fault"
)

const (
	// listWithin is how long an upstream may take over a page of its list; its own
	// timeout may be shorter. The others wait no longer for it.
	listWithin = 5 * time.Second
	// longestCursor is how long an upstream's own cursor may be, and longestPage
	// what holds those of all upstreams.
	longestCursor = 4 << 10
	longestPage   = 256 << 10
	// mostEntries is how many an upstream may list on a page. Each is judged, and all
	// wait for that.
	mostEntries = 4096
)

// errListTime marks what ended because an upstream took too long over its list.
var errListTime = errors.New("out of time")

// page is one upstream's part of a list.
type page struct {
	upstream string
	call     *call      // that was made for it
	answer   mcp.Answer // read, and not yet judged entry by entry
	err      error      // why there is none
}

// mergeList answers a list's question by what all upstreams answer to it that
// permit it to the agent. Those that come to no answer in their time are named in
// the result and on record, and are missing.
func (b *Broker) mergeList(c *call) error {
	names, err := b.permitting(c)
	if err != nil {
		return err
	}
	cursors, err := b.openPage(c)
	if err != nil {
		return err
	}
	if cursors != nil {
		names = slices.DeleteFunc(names, func(name string) bool { return cursors[name] == "" })
	}
	leave, err := b.flights.begin(c)
	if err != nil {
		return err
	}
	defer leave()
	if err := b.admit(c); err != nil {
		return err
	}
	return b.answerList(c, b.pages(c, names, cursors))
}

// pages asks the named upstreams at the same time for a page each.
func (b *Broker) pages(c *call, names []string, cursors map[string]string) []page {
	pages := make([]page, len(names))
	var asked sync.WaitGroup
	for i, name := range names {
		asked.Go(func() {
			defer b.catchPage(c, name, &pages[i])
			pages[i] = b.page(c, name, cursors[name])
		})
	}
	asked.Wait() // each ends within its time
	return pages
}

// catchPage makes a panic over one upstream its failure, as catch does for a call.
func (b *Broker) catchPage(c *call, upstream string, p *page) {
	if v := recover(); v != nil {
		b.logPanic(c, v)
		*p = page{upstream: upstream, err: fault.New("internal", fault.Internal, "")}
	}
}

// page asks one upstream for a page of its list, within its time.
func (b *Broker) page(c *call, name, cursor string) page {
	p := page{upstream: name}
	message, err := mcp.WithCursor(c.body, cursor)
	if err == nil && c.bridged != nil {
		message, err = c.bridged.client.ToStateless(message)
	}
	var br *call
	if err == nil {
		br, err = b.branch(c, name, message)
	}
	if err != nil {
		p.err = err
		return p
	}
	defer br.end(nil)
	if br.snap.upstreams[name].speaks.lateNow(b.clock()) && b.mayDiscover(br) { // who may not ask does not wait
		p.err = b.stopped(br, silentOfLate())
		return p
	}
	within := min(listWithin, c.snap.bundle.Config.Upstreams[name].Timeout.Duration)
	timer := time.AfterFunc(within, func() {
		br.end(fault.Wrap("forward", fault.BadUpstream, "the upstream did not list within its time limit of "+within.String(), errListTime))
	})
	defer timer.Stop()
	s, err := b.say(br, message)
	if err != nil {
		p.err = err
		return p
	}
	m, err := response(b, s)
	p.call, p.answer, p.err = s.sent, m.Answer, err
	s.close(b, 0, err)
	return p
}

// silentOfLate is why an upstream is missing in a list that did not ask it.
func silentOfLate() error {
	return fault.New("forward", fault.BadUpstream, "the upstream did not say which form of MCP it speaks (server/discover) within the time limit of a list, less than "+
		unknownFor.String()+" ago; it was not asked again; where it never answers that, an operator of the broker is to register its protocol")
}

// answerList answers with what the pages hold. Their entries are judged only now,
// one by one, after the last has come.
func (b *Broker) answerList(c *call, pages []page) error {
	entries, next, missing := [][]byte{}, map[string]string{}, []string{}
	for i := range pages {
		listed, cursor, err := b.entries(c, &pages[i])
		if err != nil {
			missing = append(missing, pages[i].upstream)
			b.logger.InfoContext(c.r.Context(), "an upstream is missing in a list", slog.String("call", c.id), slog.String("upstream", pages[i].upstream), slog.String("reason", fault.HintOf(err)))
			continue
		}
		entries = append(entries, listed...)
		if cursor != "" {
			next[pages[i].upstream] = cursor
		}
	}
	if cause := context.Cause(c.ctx); cause != nil {
		return c.leftAt(cause)
	}
	if len(missing) > 0 && len(missing) == len(pages) {
		return fault.New("answer", fault.Unavailable, "no upstream lists: "+strings.Join(missing, ", "))
	}
	result, err := b.listResult(c, entries, next, missing)
	if err != nil {
		return err
	}
	r := newReply(c)
	r.whole(http.StatusOK, mcp.Reply(c.msg.ID, result.JSON()))
	b.outcome(c, http.StatusOK, r.written, incomplete(missing))
	return nil
}

// incomplete is what the record says of a list in which upstreams are missing.
func incomplete(missing []string) error {
	if len(missing) == 0 {
		return nil
	}
	return fault.New("answer", fault.Unavailable, "missing in the list: "+strings.Join(missing, ", "))
}

// entries returns what a page lists that the agent may call, as it is named here,
// and where the upstream goes on.
func (b *Broker) entries(c *call, p *page) (listed [][]byte, cursor string, err error) {
	if p.err != nil {
		return nil, "", p.err
	}
	if p.answer.Failure != nil {
		if string(p.answer.Failure.Get("code")) == "-32601" { // it has no such list
			return nil, "", nil
		}
		return nil, "", fault.New("answer", fault.BadUpstream, "the upstream answered with an error")
	}
	if err := p.call.stillAllowed(b.clock()); err != nil {
		return nil, "", err
	}
	if list := p.answer.Result.Get(mcp.ListMember(c.method)); bytes.Count(list, []byte{'{'}) > mostEntries {
		if all, err := mcp.CutArray(list); err != nil || len(all) > mostEntries {
			return nil, "", fault.New("answer", fault.BadUpstream, "the upstream lists more than 4096 entries on one page")
		}
	}
	shown, err := b.listed(c, p.call, p.answer.Text.JSON())
	if err != nil {
		return nil, "", unreadable(err)
	}
	answer, err := mcp.ReadAnswer(shown)
	if err != nil {
		return nil, "", unreadable(err)
	}
	if cursor = answer.Result.Text("nextCursor"); len(cursor) > longestCursor {
		return nil, "", fault.New("answer", fault.BadUpstream, "the upstream's cursor is longer than 4KiB")
	}
	if listed, err = mcp.Listed(c.method, p.upstream, answer.Result); err != nil {
		return nil, "", unreadable(err)
	}
	return listed, cursor, nil
}

// listResult is the result of a list's question.
func (b *Broker) listResult(c *call, entries [][]byte, next map[string]string, missing []string) (mcp.Object, error) {
	result := mcp.Object{}.With(mcp.ListMember(c.method), mcp.JoinArray(entries))
	if len(next) > 0 {
		cursor, err := b.sealPage(c, next)
		if err != nil {
			return nil, err
		}
		result = result.With("nextCursor", mcp.Quote(cursor))
	}
	if len(missing) > 0 {
		names := make([][]byte, len(missing))
		for i, name := range missing {
			names[i] = mcp.Quote(name)
		}
		result = result.With("_meta", mcp.Object{}.With("io.mintmark/unavailable", mcp.JoinArray(names)).JSON())
	}
	if c.era() == eraStateless {
		result = cacheable(result)
	}
	return result, nil
}

// sealPage returns the cursor that holds where each upstream goes on. It opens for
// this workload and this list.
func (b *Broker) sealPage(c *call, cursors map[string]string) (string, error) {
	text, err := json.Marshal(cursors, json.Deterministic(true))
	if err != nil || len(text) > longestPage {
		return "", fault.New("answer", fault.BadUpstream, "the upstreams' cursors together are longer than 256KiB")
	}
	sealed := b.sessions.aead.Seal(nil, nil, text, binding(mergedPage+c.method, c.identity)) //nolint:gosec // this AEAD makes its own random nonce
	return base64.RawURLEncoding.EncodeToString(sealed), nil
}

// openPage returns where each upstream goes on, by name, or nil at the beginning.
func (b *Broker) openPage(c *call) (map[string]string, error) {
	cursor, err := mcp.Cursor(c.body)
	if err != nil || cursor == "" {
		return nil, err
	}
	var cursors map[string]string
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err == nil {
		var text []byte
		if text, err = b.sessions.aead.Open(nil, nil, sealed, binding(mergedPage+c.method, c.identity)); err == nil {
			err = json.Unmarshal(text, &cursors)
		}
	}
	if err != nil {
		return nil, &mcp.Error{Code: mcp.CodeInvalidParams, Status: http.StatusOK,
			Message: "expected a cursor that this list gave to this agent since the broker's start; begin again without one"}
	}
	return cursors, nil
}
