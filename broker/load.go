package broker

import (
	"errors"
	"slices"
	"time"

	"mintmark/broker/bundle"
	"mintmark/policies"
)

// Load reads the bundle in dir and compiles its policies. What is wrong with the
// files is bundle.Problems, all of it: policies are held against what could be read
// of mintmark.yaml.
func Load(dir string, kinds bundle.Kinds) (*bundle.Bundle, *policies.Set, error) {
	r, err := bundle.Read(dir, kinds)
	if err != nil {
		return nil, nil, err
	}
	if len(r.Problems) > 0 {
		return nil, nil, append(r.Problems, policyProblems(r)...).Err()
	}
	set, err := Compile(r.Bundle)
	if err != nil {
		return nil, nil, err
	}
	return r.Bundle, set, nil
}

// policyProblems returns what is wrong with the policies of a bundle that has other
// problems, so far as these have no part in it.
func policyProblems(r bundle.Reading) bundle.Problems {
	files := policyFiles(r.Bundle)
	if !r.Decoded || r.Problems.At("upstreams") || r.Problems.At("posture") || r.Problems.At("clocks") {
		return problemsIn(policies.Syntax(files)) // what they may name is not known
	}
	o := policyOptions(r.Bundle)
	for name, zone := range o.Clocks {
		if zone == nil {
			o.Clocks[name] = time.UTC
		}
	}
	// An upstream whose kind is none may be of either.
	asMCP := problemsIn(compileAs(files, o, "mcp"))
	asHTTP := problemsIn(compileAs(files, o, "http"))
	return slices.DeleteFunc(asMCP, func(p bundle.Problem) bool { return !slices.Contains(asHTTP, p) })
}

// compileAs compiles files with the upstreams of no kind as those of kind.
func compileAs(files []policies.File, o policies.Options, kind string) error {
	o.Upstreams = slices.Clone(o.Upstreams)
	for i, u := range o.Upstreams {
		if u.Kind != "mcp" && u.Kind != "http" {
			o.Upstreams[i].Kind = kind
		}
	}
	_, err := policies.Compile(files, o)
	return err
}

// problemsIn returns the problems that err is, and none of another error: a name
// that policies can't have is a problem of the configuration already.
func problemsIn(err error) bundle.Problems {
	problems, _ := errors.AsType[bundle.Problems](err)
	return problems
}
