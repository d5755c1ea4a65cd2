package policies

import (
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"mintmark/attest/posture"
)

// question is what a request asks whatever the context: it never changes for
// one Set, so that the policies it concerns are looked for once.
type question struct {
	call
	found candidates
	reads reads
}

// questionKey is all that a question is made of.
type questionKey struct {
	agent            spiffeid.ID
	upstream, method string
	target           Target
}

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
	q := &question{call: c, found: candidates{policies: s.policies, at: s.index.lookup(&c)}}
	q.reads = q.found.reads()
	if remembered {
		s.questions.keep(c.key(), q)
	}
	return q, ""
}

// maxGiven is how many facts a decision may stand on to be remembered.
const maxGiven = 4

// given is a question with all of the context that its policies look at. Cedar
// reads nothing else, and policies are fixed, so that what was decided once is
// decided so again: for this second of each fact's age, and this minute of the clock.
type given struct {
	question   *question
	credential string
	minute     *reading
	facts      [maxGiven]givenFact
}

// givenFact is all that policies see of a fact.
type givenFact struct {
	name string
	factKey
}

// given returns the whole of what is asked, and false when it is nothing to
// remember: policies that look at the time itself never get the same twice.
func (s *Set) given(q *question, r Request, facts []posture.Fact) (given, bool) {
	if q.reads.now || q.reads.posture && len(facts) > maxGiven || len(r.Target.Name) > maxMemo {
		return given{}, false
	}
	g := given{question: q}
	if q.reads.credential {
		g.credential = r.Credential
	}
	if q.reads.clock {
		g.minute = s.clock.reading(r.Now)
	}
	if q.reads.posture {
		for i := range facts {
			g.facts[i] = givenFact{facts[i].Name, keyOf(&facts[i], r.Now)}
		}
	}
	return g, true
}

func keyOf(f *posture.Fact, now time.Time) factKey {
	return factKey{f.Value, f.Issuer, ageSeconds(f.Age(now))}
}
