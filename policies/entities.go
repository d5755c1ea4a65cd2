package policies

import (
	"iter"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/schema/resolved"

	"mintmark/attest/posture"
)

// action is a verb made ready to be asked about.
type action struct {
	uid    types.EntityUID
	entity types.Entity
	verb   verb
}

func newActions(s *resolved.Schema) map[string]action {
	out := map[string]action{}
	for _, v := range verbs() {
		uid := actionUID(v.name)
		out[v.name] = action{uid: uid, entity: s.Actions[uid].Entity, verb: v}
	}
	return out
}

// upstream is a registered upstream made ready to be asked about.
type upstream struct {
	kind   string
	entity types.Entity
}

func newUpstreams(list []Upstream) map[string]upstream {
	out := map[string]upstream{}
	for _, u := range list {
		name, kind := types.String(u.Name), kindOr(u.Kind)
		out[u.Name] = upstream{kind: kind, entity: types.Entity{
			UID: types.NewEntityUID(typeUpstream, name),
			Attributes: types.NewRecord(types.RecordMap{
				"name": name, "upstream": name, "kind": types.String(kind),
			}),
		}}
	}
	return out
}

// call is one request in Cedar's terms. It is also the entity store of its own
// evaluation: entities are built when a policy first looks at them.
type call struct {
	set       *Set
	agent     spiffeid.ID
	target    Target
	action    action
	upstream  upstream
	principal types.EntityUID
	resource  types.EntityUID
}

// Get returns an entity of this call.
func (c *call) Get(uid types.EntityUID) (types.Entity, bool) {
	switch uid {
	case c.principal:
		return c.set.agents.get(c.agent, agentEntity), true
	case c.action.uid:
		return c.action.entity, true
	case c.upstream.entity.UID:
		return c.upstream.entity, true
	case c.resource:
		key := targetKey{c.resource, c.upstream.entity.UID, c.target.Name}
		if len(c.target.Name) > maxMemo {
			return targetEntity(key), true
		}
		return c.set.targets.get(key, targetEntity), true
	default:
		return types.Entity{}, false
	}
}

func agentEntity(id spiffeid.ID) types.Entity {
	td := types.String(id.TrustDomain().Name())
	parents := []types.EntityUID{types.NewEntityUID(typeTrustDomain, td)}
	for prefix := range pathPrefixes(id) {
		parents = append(parents, types.NewEntityUID(typePathPrefix, types.String(prefix)))
	}
	return types.Entity{
		UID:     types.NewEntityUID(typeAgent, types.String(id.String())),
		Parents: cedar.NewEntityUIDSet(parents...),
		Attributes: types.NewRecord(types.RecordMap{
			"trust_domain": td, "path": types.String(id.Path()),
		}),
	}
}

// targetKey is all that a target's entity is made of.
type targetKey struct {
	uid, upstream types.EntityUID
	name          string
}

func targetEntity(k targetKey) types.Entity {
	return types.Entity{
		UID:     k.uid,
		Parents: cedar.NewEntityUIDSet(k.upstream),
		Attributes: types.NewRecord(types.RecordMap{
			"upstream": k.upstream.ID, "name": types.String(k.name),
		}),
	}
}

// pathPrefixes yields each proper prefix of id that ends before a slash of its
// path: for spiffe://td/a/b/c, spiffe://td/a and spiffe://td/a/b.
func pathPrefixes(id spiffeid.ID) iter.Seq[string] {
	return func(yield func(string) bool) {
		whole, path := id.String(), id.Path()
		base := len(whole) - len(path)
		for i := 1; i < len(path); i++ {
			if path[i] == '/' && !yield(whole[:base+i]) {
				return
			}
		}
	}
}

// resourceUID returns the entity id of a target: "upstream/name". A path keeps
// its own leading slash as the one between.
func resourceUID(upstream string, t Target) types.EntityUID {
	if t.Type == 0 {
		return types.NewEntityUID(typeUpstream, types.String(upstream))
	}
	name := t.Name
	if t.Type == Path {
		name = strings.TrimPrefix(name, "/")
	}
	return types.NewEntityUID(t.Type.entityType(), types.String(upstream+"/"+name))
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

// factKey is all that a fact's record is made of.
type factKey struct {
	value, issuer string
	age           int64
}

func factRecord(k factKey) types.Record {
	return types.NewRecord(types.RecordMap{
		"value": types.String(k.value), "age": types.Long(k.age), "issuer": types.String(k.issuer),
	})
}

// factsRecord is context.posture.
func (s *Set) factsRecord(facts []posture.Fact, now time.Time) types.Record {
	if len(facts) == 0 {
		return types.Record{}
	}
	m := make(types.RecordMap, len(facts))
	for _, f := range facts {
		m[types.String(f.Name)] = s.facts.get(keyOf(&f, now), factRecord)
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

// reads says which parts of the context a policy looks at, so that the others
// need not be built.
type reads struct {
	posture, clock, now, credential bool
	facts                           []string // names of the posture facts
}

func (r reads) merge(o reads) reads {
	return reads{
		posture: r.posture || o.posture, clock: r.clock || o.clock,
		now: r.now || o.now, credential: r.credential || o.credential,
	}
}

// context builds what r asks for of the context.
func (s *Set) context(r reads, req Request, facts []posture.Fact) types.Record {
	if !r.posture && !r.clock && !r.now && !r.credential {
		return types.Record{}
	}
	m := make(types.RecordMap, 4)
	if r.posture {
		m["posture"] = s.factsRecord(facts, req.Now)
	}
	if r.clock {
		m["clock"] = s.clock.at(req.Now)
	}
	if r.now {
		m["now"] = types.NewDatetime(req.Now)
	}
	if r.credential {
		m["credential"] = types.String(req.Credential)
	}
	return types.NewRecord(m)
}
