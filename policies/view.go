package policies

import (
	"math"
	"time"

	"github.com/cedar-policy/cedar-go/types"

	"mintmark/attest/posture"
)

// maxFacts is how many facts a context may have to be remembered.
const maxFacts = 4

// seen is all that policies can see of a context. Numbers that they can't tell
// apart are the same in it, so that a fact that is a second older, or a later
// time, is another context only where a policy says another thing of it.
type seen struct {
	posture, clock, now, credential bool   // whether it has that part
	by                              string // the credential
	at                              int64  // the time, in milliseconds
	minute                          *reading
	facts                           [maxFacts]seenFact
}

// seenFact is all that policies see of a fact.
type seenFact struct {
	name string
	factKey
}

// sameNames reports whether both are of the same facts, whatever their values.
func (v *seen) sameNames(o *seen) bool {
	for i := range v.facts {
		if v.facts[i].name != o.facts[i].name {
			return false
		}
	}
	return true
}

// view is a context, built.
type view struct {
	seen   seen
	record types.Record
}

// see returns what q's policies see of r, and false when there is more of it than
// can be remembered.
func (s *Set) see(q *question, r Request, facts []posture.Fact) (seen, bool) {
	v := seen{posture: q.reads.posture, clock: q.reads.clock, now: q.reads.now, credential: q.reads.credential}
	if v.credential {
		v.by = r.Credential
	}
	if v.clock {
		v.minute = s.clock.reading(r.Now)
	}
	if v.now {
		v.at = s.times.now.same(types.NewDatetime(r.Now).Milliseconds())
	}
	n := 0
	for i := 0; i < len(facts) && v.posture; i++ {
		if !q.reads.fact(facts[i].Name) {
			continue
		}
		if n == maxFacts {
			return v, false
		}
		v.facts[n] = seenFact{facts[i].Name, s.factKey(&facts[i], r.Now)}
		n++
	}
	return v, true
}

// viewOf returns the context that v is the whole of.
func (s *Set) viewOf(v seen, q *question, r Request, facts []posture.Fact) *view {
	if v.now && s.times.now.exact { // the time itself is never the same again
		return s.view(v, true, q, r, facts)
	}
	if known, ok := s.views.find(v); ok {
		return known
	}
	built := s.view(v, true, q, r, facts)
	s.views.keep(v, built)
	return built
}

// view builds the context that v is. Where v is not the whole of it, its facts are
// those of q's policies among facts.
func (s *Set) view(v seen, whole bool, q *question, r Request, facts []posture.Fact) *view {
	m := make(types.RecordMap, 4)
	if v.posture && whole {
		m["posture"] = s.postures.get(v.facts, s.posturesRecord)
	} else if v.posture {
		m["posture"] = s.factsRecord(s.read(q, r, facts))
	}
	if v.clock {
		m["clock"] = v.minute.record
	}
	if v.now {
		m["now"] = types.NewDatetimeFromMillis(v.at)
	}
	if v.credential {
		m["credential"] = types.String(v.by)
	}
	return &view{seen: v, record: types.NewRecord(m)}
}

// read returns all that q's policies see of facts.
func (s *Set) read(q *question, r Request, facts []posture.Fact) []seenFact {
	var out []seenFact
	for i := range facts {
		if q.reads.fact(facts[i].Name) {
			out = append(out, seenFact{facts[i].Name, s.factKey(&facts[i], r.Now)})
		}
	}
	return out
}

func (s *Set) posturesRecord(facts [maxFacts]seenFact) types.Record { return s.factsRecord(facts[:]) }

// factsRecord is context.posture. A fact without a name is none.
func (s *Set) factsRecord(facts []seenFact) types.Record {
	m := make(types.RecordMap, len(facts))
	for _, f := range facts {
		if f.name != "" {
			m[types.String(f.name)] = s.facts.get(f.factKey, factRecord)
		}
	}
	return types.NewRecord(m)
}

// factKey is all that a fact's record is made of.
type factKey struct {
	value, issuer string
	age           int64
}

func (s *Set) factKey(f *posture.Fact, now time.Time) factKey {
	k := factKey{value: f.Value, age: s.times.sameAge(f.Name, ageSeconds(f.Age(now)))}
	if s.times.issuer {
		k.issuer = f.Issuer
	}
	return k
}

func factRecord(k factKey) types.Record {
	return types.NewRecord(types.RecordMap{
		"value": types.String(k.value), "age": types.Long(k.age), "issuer": types.String(k.issuer),
	})
}

// ageSeconds rounds up, so that a fact never looks younger than it is.
func ageSeconds(age time.Duration) int64 {
	whole := int64(age / time.Second)
	if age%time.Second > 0 && whole < math.MaxInt64 {
		whole++
	}
	return whole
}
