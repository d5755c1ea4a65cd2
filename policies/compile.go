package policies

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/schema"
	"github.com/cedar-policy/cedar-go/x/exp/schema/resolved"
	"github.com/cedar-policy/cedar-go/x/exp/schema/validate"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// maxID bounds a policy id: it is written into every record it determines.
const maxID = 128

// policy is one policy, compiled, with what is known about it beforehand.
type policy struct {
	id     types.PolicyID
	cedar  *cedar.Policy
	permit bool
	hint   string // @hint: words for the agent's developer
	reads  reads
	times  times
}

// compiler collects the policies and the faults of all files.
type compiler struct {
	options    Options
	schema     *resolved.Schema
	validators map[string]*validate.Validator // by the actions of a scope
	checks     checks
	policies   []policy
	problems   []problem
	doubtful   []problem // what is right and hardly meant: see Set.Warnings
	owners     map[types.PolicyID]position
}

// Compile checks all files and makes a Set of them. It returns every fault at
// once, as bundle.Problems: "file:line:column: …, expected …, got …". No files, or files
// without policies, make a Set that denies everything.
func Compile(files []File, o Options) (*Set, error) {
	if err := checkOptions(o); err != nil {
		return nil, err
	}
	c, text, err := newCompiler(o)
	if err != nil {
		return nil, err
	}
	for _, f := range slices.SortedFunc(slices.Values(files), func(a, b File) int { return cmp.Compare(a.Name, b.Name) }) {
		c.file(f)
	}
	if len(c.problems) > 0 {
		return nil, joinProblems(c.problems)
	}
	return c.set(text), nil
}

// Syntax returns the faults that policies have whatever is registered, as Compile
// does.
func Syntax(files []File) error {
	var problems []problem
	for _, f := range files {
		if _, err := cedar.NewPolicyListFromBytes(f.Name, f.Content); err != nil {
			problems = append(problems, parseProblem(f.Name, tokenize(f.Content), err))
		}
	}
	if len(problems) > 0 {
		return joinProblems(problems)
	}
	return nil
}

func newCompiler(o Options) (*compiler, string, error) {
	m := newModel(o)
	s := schema.NewSchemaFromAST(m.ast)
	rs, err := s.Resolve()
	if err != nil {
		return nil, "", fmt.Errorf("resolve the generated schema: %w", err)
	}
	text, err := s.MarshalCedar()
	if err != nil {
		return nil, "", fmt.Errorf("write the generated schema: %w", err)
	}
	return &compiler{
		options: o, schema: rs,
		validators: map[string]*validate.Validator{},
		checks:     newChecks(o, m),
		owners:     map[types.PolicyID]position{},
	}, string(text), nil
}

// checkOptions refuses names that could not be told apart in an entity id or
// that Cedar reserves.
func checkOptions(o Options) error {
	var errs []error
	seen := map[string]bool{}
	for _, u := range o.Upstreams {
		if u.Name == "" || strings.Contains(u.Name, "/") || seen[u.Name] {
			errs = append(errs, fmt.Errorf("upstream name: got %q, want a unique name without a slash", u.Name))
		}
		if u.Kind != "" && u.Kind != kindMCP && u.Kind != kindHTTP {
			errs = append(errs, fmt.Errorf("kind of upstream %q: got %q, want mcp or http", u.Name, u.Kind))
		}
		seen[u.Name] = true
	}
	for _, n := range o.PostureNames {
		if n == "" || strings.HasPrefix(n, "__") {
			errs = append(errs, fmt.Errorf("posture name: got %q, want a name that does not begin with two underscores", n))
		}
	}
	for n, zone := range o.Clocks {
		if n == "" || strings.HasPrefix(n, "__") || zone == nil {
			errs = append(errs, fmt.Errorf("clock: got %q, want a name that does not begin with two underscores, and a time zone", n))
		}
	}
	return errors.Join(errs...)
}

// file parses one file and takes in its policies.
func (c *compiler) file(f File) {
	tokens := tokenize(f.Content)
	list, err := cedar.NewPolicyListFromBytes(f.Name, f.Content)
	if err != nil {
		c.problems = append(c.problems, parseProblem(f.Name, tokens, err))
		return
	}
	for i, p := range list {
		end := len(f.Content)
		if i+1 < len(list) {
			end = list[i+1].Position().Offset
		}
		pos := p.Position()
		c.policy(p, i+1, place{
			start:  position{f.Name, pos.Line, pos.Column},
			tokens: between(tokens, pos.Offset, end),
		})
	}
}

// place is where a policy stands, and its words.
type place struct {
	start  position
	tokens []token
}

// at returns the position of token i, or of the policy when i is -1.
func (p place) at(i int) position {
	if i < 0 {
		return p.start
	}
	return position{p.start.file, p.tokens[i].line, p.tokens[i].col}
}

func (c *compiler) policy(p *cedar.Policy, n int, where place) {
	id := c.name(p, n, where)
	tree := (*ast.Policy)(p.AST())
	own := c.checks.policy(tree, where)
	c.problems = append(c.problems, own...)
	if len(own) == 0 {
		// The validator would repeat our findings in other words.
		c.problems = append(c.problems, validatorProblems(c.validator(tree.Action).Policy("", tree), where)...)
	}
	c.doubtful = slices.Concat(c.doubtful, c.checks.idle(tree, where), c.checks.strangers(tree, where), misspelled(p.Annotations(), where))
	reads, times := readsOf(tree)
	c.policies = append(c.policies, policy{
		id: id, cedar: p, permit: p.Effect() == cedar.Permit,
		hint:  strings.TrimSpace(string(p.Annotations()["hint"])),
		reads: reads, times: times,
	})
}

// validator returns a validator for policies with the given action scope. The
// library prepares every action's context anew for each policy, although those
// outside the scope are then left out; so they are made not to apply at all,
// which leaves the findings as they are and takes a tenth of the time.
func (c *compiler) validator(scope ast.IsActionScopeNode) *validate.Validator {
	names := scopeActions(scope)
	key := fmt.Sprintf("%q", names)
	if v, ok := c.validators[key]; ok {
		return v
	}
	narrow := *c.schema
	if names != nil {
		narrow.Actions = maps.Clone(c.schema.Actions)
		for uid, a := range narrow.Actions {
			if !slices.Contains(names, uid) {
				a.AppliesTo = nil
				narrow.Actions[uid] = a
			}
		}
	}
	v := validate.New(&narrow, validate.WithStrict())
	c.validators[key] = v
	return v
}

// name returns p's id: its @id, or "file#N". Ids are unique, or a record would
// not say which policy decided.
func (c *compiler) name(p *cedar.Policy, n int, where place) types.PolicyID {
	given, ok := p.Annotations()["id"]
	id := types.PolicyID(given)
	if !ok {
		id = types.PolicyID(fmt.Sprintf("%s#%d", where.start.file, n))
	} else if !validID(string(id)) {
		c.problems = append(c.problems, problem{where.at(findString(where.tokens, string(id))), fmt.Sprintf(
			"policy id, expected 1 to %d printable characters, got %q", maxID, id)})
	}
	if owner, dup := c.owners[id]; dup {
		c.problems = append(c.problems, problem{where.at(findString(where.tokens, string(id))), fmt.Sprintf(
			"policy id, expected one that is used once, got %q, which is also at %s", id, owner)})
	}
	c.owners[id] = where.start
	return id
}

func validID(id string) bool {
	return id != "" && len(id) <= maxID &&
		!strings.ContainsFunc(id, func(r rune) bool { return !unicode.IsPrint(r) })
}

// set makes the Set once nothing is wrong.
func (c *compiler) set(text string) *Set {
	slices.SortFunc(c.policies, func(a, b policy) int { return cmp.Compare(a.id, b.id) })
	s := &Set{
		policies:  c.policies,
		schema:    text,
		actions:   newActions(c.schema),
		upstreams: newUpstreams(c.options.Upstreams),
		nowhere: map[string]*upstream{
			kindMCP:  newUpstreams([]Upstream{{Kind: kindMCP}})[""],
			kindHTTP: newUpstreams([]Upstream{{Kind: kindHTTP}})[""],
		},
		posture:   map[string]bool{},
		clock:     newClock(c.options.Clocks),
		times:     allTimes(c.policies),
		agents:    newMemo[spiffeid.ID, types.Entity](nil),
		views:     newMemo[seen, *view](nil),
		questions: newMemo[questionKey, *question](questionKey.owner),
	}
	for _, n := range c.options.PostureNames {
		s.posture[n] = true
	}
	s.warnings = c.warnings()
	s.index = newIndex(s.policies)
	return s
}
