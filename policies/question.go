package policies

import (
	"strings"
	"sync"

	"github.com/cedar-policy/cedar-go/types"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// question is what a request asks whatever the context: it never changes for
// one Set, so that the policies it concerns are looked for once, and those of
// them that look at no context are asked once.
type question struct {
	call
	found   candidates  // all that it concerns
	reads   reads       // of all of them
	fixed   verdict     // of those that look at no context
	open    *candidates // the others
	answers answers
}

// questionKey is all that a question is made of.
type questionKey struct {
	agent            spiffeid.ID
	upstream, method string
	target           Target
}

// owner is whose question it is: see memo.
func (k questionKey) owner() string { return k.agent.String() }

// key returns c's, in words of the Set and not of the request.
func (c *call) key() questionKey {
	return questionKey{c.agent, string(c.upstream.entity.UID.ID), c.action.verb.name, c.target}
}

// ask returns the question that r is, or says why it cannot be asked at all.
func (s *Set) ask(r Request) (*question, string) {
	key := questionKey{r.Agent, r.Upstream, r.Method, r.Target}
	if q, ok := s.questions.find(key); ok {
		return q, ""
	}
	remembered := len(r.Target.Name) <= maxMemo
	if remembered {
		r.Target.Name = strings.Clone(r.Target.Name) // not a part of the whole request
	}
	c, why := s.call(r)
	if why != "" {
		return nil, why
	}
	q := s.question(c)
	if remembered {
		s.questions.keep(q.key(), q)
	}
	return q, ""
}

// question finds what c concerns, and asks what does not depend on the context.
func (s *Set) question(c call) *question {
	q := &question{call: c}
	at := s.index.lookup(&q.call)
	q.found = candidates{policies: s.policies, at: at}
	var fixed, open []int
	for _, i := range at {
		p := &s.policies[i]
		q.reads = q.reads.merge(p.reads)
		if p.reads.context() {
			open = append(open, i)
		} else {
			fixed = append(fixed, i)
		}
	}
	if q.reads.attributes {
		q.described()
	}
	q.fixed = q.authorize(newCandidates(s.policies, fixed), types.Record{})
	q.open = newCandidates(s.policies, open)
	return q
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

// answer is a decision, without its Facts, for a context.
type answer struct {
	view     *view
	open     verdict // of the policies that look at it
	decision *Decision
}

// find returns what was decided for v.
func (a *answers) find(v *seen) (*Decision, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range a.list {
		if one := &a.list[i]; one.view != nil && one.view.seen == *v {
			return one.decision, true
		}
	}
	return nil, false
}

// alike returns the decision for another context of which the policies said the
// same, if its Reason is that for v too: it can name the facts that are not there.
func (a *answers) alike(v *view, open verdict) (*Decision, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range a.list {
		one := &a.list[i]
		if one.view != nil && one.open.equal(open) && (one.decision.Allow || one.view.seen.sameNames(&v.seen)) {
			return one.decision, true
		}
	}
	return nil, false
}

// keep remembers one, in place of that which was kept first.
func (a *answers) keep(one answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.list[a.next] = one
	a.next = (a.next + 1) % maxAnswers
}
