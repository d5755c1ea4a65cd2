// Package policies decides whether an agent may make a call. Policies are
// written in Cedar and checked against a schema that is generated from what is
// registered, so that a policy naming an upstream, action, clock or posture
// fact that does not exist is refused before it is ever asked.
//
// Everything fails closed: no policy, a policy that cannot be evaluated, an
// action outside the model, an unknown upstream, a stale fact and the zero
// Decision all deny.
package policies

import (
	"time"

	"github.com/cedar-policy/cedar-go/types"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"mintmark/attest/posture"
	"mintmark/broker/bundle"
)

// File is one policy file, as text.
type File struct {
	Name    string // used in positions and in the ids of policies without @id
	Content []byte
}

// Upstream is a registered upstream, as far as policies know it.
type Upstream struct {
	Name string
	Kind string // "mcp" (also when empty) or "http"
}

// Options say what exists, and so what a policy may name.
type Options struct {
	PostureNames []string                  // names of posture facts
	Clocks       map[string]*time.Location // named time zones
	Upstreams    []Upstream

	// PostureValues are all values that the facts of a name can have. A name that is
	// not in it can have any.
	PostureValues map[string][]string
	// TrustDomains are those that agents are known to come from, by name and in the
	// order of messages. A policy that names another is warned of; none: nothing is.
	TrustDomains []string
}

// TargetType is what kind of thing on an upstream a call is for.
type TargetType uint8

// The types of target. The zero TargetType is the upstream itself.
const (
	Tool     TargetType = iota + 1
	Prompt              // an MCP prompt
	Resource            // an MCP resource, named by its URI
	Path                // a plain path of an upstream of kind http, decoded and without its query
)

// Target is what a call is for. The zero Target is the upstream itself.
type Target struct {
	Type TargetType
	Name string
}

// Request is one question. Everything that can change the answer is in it.
type Request struct {
	Agent      spiffeid.ID
	Upstream   string // registered name
	Method     string // an action of the model: "tools/call", "http/GET", "stream"
	Target     Target
	Credential string         // registered name of the provider that would serve the call, or ""
	Posture    []posture.Fact // facts about the agent; stale ones count as absent
	Now        time.Time
}

// Decision is the answer. The zero Decision denies.
type Decision struct {
	Allow    bool
	Policies []string       // ids of the determining policies, sorted; read only
	Reason   string         // why not, for the agent's developer; "" when allowed
	Facts    []posture.Fact // the facts the policies could see; read only
}

// Set is a compiled set of policies. It is immutable and safe for concurrent
// use. A nil Set denies.
type Set struct {
	policies []policy // sorted by id
	index    index
	schema   string
	warnings []bundle.Problem

	actions   map[string]*action
	upstreams map[string]*upstream
	nowhere   map[string]*upstream // by kind, one that has no name, so that no policy can be about it
	posture   map[string]bool
	clock     clock

	times     times // of all policies
	agents    memo[spiffeid.ID, types.Entity]
	views     memo[seen, *view]
	questions memo[questionKey, *question]
}

// Schema returns the Cedar schema the policies were checked against: what
// principals, actions, resources and context a policy can name.
func (s *Set) Schema() string { return s.schema }

// Knows reports whether method is in the model: no policy can permit another.
func (s *Set) Knows(method string) bool {
	if s == nil {
		return false
	}
	_, ok := s.actions[method]
	return ok
}

// IDs returns the ids of all policies, sorted.
func (s *Set) IDs() []string {
	ids := make([]string, len(s.policies))
	for i, p := range s.policies {
		ids[i] = string(p.id)
	}
	return ids
}
