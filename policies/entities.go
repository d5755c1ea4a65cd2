package policies

import (
	"iter"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/schema/resolved"
)

// action is a verb made ready to be asked about.
type action struct {
	uid    types.EntityUID
	entity types.Entity
	verb   verb
}

func newActions(s *resolved.Schema) map[string]*action {
	out := map[string]*action{}
	for _, v := range verbs() {
		uid := actionUID(v.name)
		out[v.name] = &action{uid: uid, entity: s.Actions[uid].Entity, verb: v}
	}
	return out
}

// upstream is a registered upstream made ready to be asked about, and what all of
// its targets have in common.
type upstream struct {
	kind    string
	entity  types.Entity
	parents types.EntityUIDSet
	shared  types.Record // attributes
}

func newUpstreams(list []Upstream) map[string]*upstream {
	out := map[string]*upstream{}
	for _, u := range list {
		name, kind := types.String(u.Name), kindOr(u.Kind)
		uid := types.NewEntityUID(typeUpstream, name)
		out[u.Name] = &upstream{
			kind: kind, parents: types.NewEntityUIDSet(uid),
			shared: types.NewRecord(types.RecordMap{"upstream": name}),
			entity: types.Entity{
				UID: uid,
				Attributes: types.NewRecord(types.RecordMap{
					"name": name, "upstream": name, "kind": types.String(kind),
				}),
			},
		}
	}
	return out
}

// call is one request in Cedar's terms. It is also the entity store of its own
// evaluation: an agent's entity is built when a policy first looks at it.
type call struct {
	set       *Set
	agent     spiffeid.ID
	target    Target
	action    *action
	upstream  *upstream
	principal types.EntityUID
	resource  types.Entity
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
	case c.resource.UID:
		return c.resource, true
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

// resource returns the entity of a target, without its name.
func (u *upstream) resource(t Target) types.Entity {
	if t.Type == 0 {
		return u.entity
	}
	return types.Entity{UID: resourceUID(string(u.entity.UID.ID), t), Parents: u.parents, Attributes: u.shared}
}

// named gives the resource its name, which few policies look at.
func (c *call) named() {
	if c.target.Type != 0 { // an upstream has its own
		c.resource.Attributes = types.NewRecord(types.RecordMap{
			"upstream": c.upstream.entity.UID.ID, "name": types.String(c.target.Name),
		})
	}
}

// resourceUID returns the entity id of a target.
func resourceUID(upstream string, t Target) types.EntityUID {
	if t.Type == 0 {
		return types.NewEntityUID(typeUpstream, types.String(upstream))
	}
	var buf [128]byte
	return types.NewEntityUID(t.Type.entityType(), types.String(appendResource(buf[:0], upstream, t)))
}

// appendResource appends "upstream/name". A path keeps its own leading slash as
// the one between.
func appendResource(b []byte, upstream string, t Target) []byte {
	b = append(append(b, upstream...), '/')
	if t.Type == Path {
		return append(b, strings.TrimPrefix(t.Name, "/")...)
	}
	return append(b, t.Name...)
}
