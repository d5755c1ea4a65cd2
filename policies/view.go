package policies

import (
	"math"
	"slices"
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
	name, value, issuer string
	age                 int64
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

// visible returns the facts that policies see at now: fresh, of a registered
// name, and stated once. Two facts of one name contradict each other, and what
// is contradicted is not known. The result may share its array with facts.
func (s *Set) visible(facts []posture.Fact, now time.Time) []posture.Fact {
	ok := func(i int) bool {
		f := facts[i]
		return f.FreshAt(now) && s.posture[f.Name] && !slices.ContainsFunc(facts, func(o posture.Fact) bool {
			return o.Name == f.Name && o != f
		})
	}
	all := true
	for i := range facts {
		all = all && ok(i)
	}
	if all {
		return facts
	}
	var out []posture.Fact
	for i, f := range facts {
		if ok(i) {
			out = append(out, f)
		}
	}
	return out
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
		v.facts[n] = s.seeFact(&facts[i], r.Now)
		n++
	}
	return v, true
}

// seeAll returns what q's policies see of facts, however many.
func (s *Set) seeAll(q *question, r Request, facts []posture.Fact) []seenFact {
	var out []seenFact
	for i := range facts {
		if q.reads.fact(facts[i].Name) {
			out = append(out, s.seeFact(&facts[i], r.Now))
		}
	}
	return out
}

func (s *Set) seeFact(f *posture.Fact, now time.Time) seenFact {
	out := seenFact{name: f.Name, value: f.Value, age: s.times.sameAge(f.Name, ageSeconds(f.Age(now)))}
	if s.times.issuer {
		out.issuer = f.Issuer
	}
	return out
}

// view returns the context that v is the whole of.
func (s *Set) view(v seen) *view {
	if v.now && s.times.now.exact { // the time itself is never the same again
		return v.build(v.facts[:])
	}
	return s.views.get(v, func(v seen) *view { return v.build(v.facts[:]) })
}

// build makes the context that v is, with facts.
func (v seen) build(facts []seenFact) *view {
	m := make(types.RecordMap, 4)
	if v.posture {
		m["posture"] = postureRecord(facts)
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

// postureRecord is context.posture. A fact without a name is none.
func postureRecord(facts []seenFact) types.Record {
	m := make(types.RecordMap, len(facts))
	for _, f := range facts {
		if f.name != "" {
			m[types.String(f.name)] = types.NewRecord(types.RecordMap{
				"value": types.String(f.value), "age": types.Long(f.age), "issuer": types.String(f.issuer),
			})
		}
	}
	return types.NewRecord(m)
}

// ageSeconds rounds up, so that a fact never looks younger than it is.
func ageSeconds(age time.Duration) int64 {
	whole := int64(age / time.Second)
	if age%time.Second > 0 && whole < math.MaxInt64 {
		whole++
	}
	return whole
}
