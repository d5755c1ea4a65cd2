package policies

import (
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cedar-policy/cedar-go/types"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// question is what a request asks whatever the context: it never changes for
// one Set, so that the policies it concerns are looked for once.
type question struct {
	call
	any     bool // it is of any target that no policy tells from this one
	found   candidates
	reads   reads
	split   atomic.Pointer[split]
	answers answers
}

// split are the policies of a question that is asked again and again: what those
// say that look at no context, and the others.
type split struct {
	fixed verdict
	open  *candidates
}

// questionKey is all that a question is made of.
type questionKey struct {
	agent            spiffeid.ID
	upstream, method string
	target           Target
	any              bool // of any target of that type; it has no name
}

// owner is whose question it is: see memo.
func (k questionKey) owner() string { return k.agent.String() }

// ofAny returns k as it is of any target.
func (k questionKey) ofAny() questionKey {
	k.target.Name, k.any = "", true
	return k
}

// key returns q's, in words of the Set and not of the request.
func (q *question) key() questionKey {
	k := questionKey{agent: q.agent, upstream: string(q.upstream.entity.UID.ID), method: q.action.verb.name, target: q.target}
	if q.any {
		return k.ofAny()
	}
	return k
}

// ask returns the question that r is, or says why it cannot be asked at all.
// What an agent calls by names that no policy knows is one question.
func (s *Set) ask(r Request) (*question, string) {
	key := questionKey{agent: r.Agent, upstream: r.Upstream, method: r.Method, target: r.Target}
	unnamed := r.Target.Type != 0 && !s.index.names(r.Upstream, r.Target)
	if unnamed {
		if q, ok := s.questions.find(key.ofAny()); ok {
			return q, checkTarget(q.action.verb, r.Target)
		}
	}
	if q, ok := s.questions.find(key); ok {
		return q, ""
	}
	r.Target.Name = strings.Clone(r.Target.Name) // not a part of the whole request
	c, why := s.call(r)
	if why != "" {
		return nil, why
	}
	q := s.question(c)
	q.any = unnamed && !q.reads.resource
	if len(r.Target.Name) <= maxMemo {
		s.questions.keep(q.key(), q)
	}
	return q, ""
}

// question finds what c concerns.
func (s *Set) question(c call) *question {
	q := &question{call: c, found: candidates{policies: s.policies}}
	q.found.at = s.index.lookup(&q.call)
	for _, i := range q.found.at {
		q.reads = q.reads.merge(s.policies[i].reads)
	}
	if q.reads.name {
		q.named()
	}
	return q
}

// parts returns q's policies in two, and has Cedar ask the first of them.
func (q *question) parts() *split {
	if s := q.split.Load(); s != nil {
		return s
	}
	fixed := q.found.those(func(p *policy) bool { return !p.reads.context() })
	open := q.found.those(func(p *policy) bool { return p.reads.context() })
	s := &split{fixed: q.authorize(fixed, types.Record{}), open: open}
	q.split.Store(s)
	return s
}

// maxAnswers is how many answers are remembered of a question: that of the last
// minute and that of this, or of a fact and of what it was before.
const maxAnswers = 4

// answers are what was decided on a question, for the contexts that came last.
// Cedar reads nothing else, and policies are fixed, so that what was decided once
// is decided so again.
type answers struct {
	mu   sync.Mutex
	list [maxAnswers]answer
	next int
}

// answer is what was decided for a context.
type answer struct {
	view *view
	said *said
}

// said is a decision, without its Facts.
type said struct {
	Decision
	apart bool    // whether those policies were asked by themselves that look at the context
	open  verdict // and then what they say
}

// find returns what was decided for v, or nil, and whether anything was decided.
func (a *answers) find(v *seen) (known *said, before bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range a.list {
		if one := &a.list[i]; one.view != nil && one.view.seen == *v {
			return one.said, true
		}
	}
	return nil, a.list[0].view != nil
}

// alike returns the decision for another context of which the policies said the
// same, or nil. Its Reason must be that for v too: it can name the facts that are
// not there.
func (a *answers) alike(v *view, open verdict) *said {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range a.list {
		one := &a.list[i]
		if one.view != nil && one.said.apart && one.said.open.equal(open) && (one.said.Allow || one.view.seen.sameNames(&v.seen)) {
			return one.said
		}
	}
	return nil
}

// keep remembers one, in place of that which was kept first.
func (a *answers) keep(v *view, s *said) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.list[a.next] = answer{v, s}
	a.next = (a.next + 1) % maxAnswers
}
