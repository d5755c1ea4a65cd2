package broker

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"mintmark/broker/bundle"
	"mintmark/injector"
)

// upstream is one registered upstream, ready to be called.
type upstream struct {
	plain      bool
	open       bool        // registered as needing no credential
	warned     atomic.Bool // that it answered 401, though open
	injections []injection
	send       *injector.Upstream
	timeout    time.Duration
	speaks     speaks
	oneEra     bool     // agents of the other era are refused
	holds      bool     // to what its tools said of themselves before
	held       holdings // sessions of agents that have none of their own
	allowed    atomic.Pointer[counted]
	given      *given // credentials of late
}

// injection is one registered credential of an upstream.
type injection struct {
	provider string
	name     string // of the scheme, as registered
	scheme   injector.Scheme
	tools    []string
	warns    *rate.Limiter // of a stored key that is forbidden, which an agent can provoke
}

func (i *injection) schemeOrNil() injector.Scheme {
	if i == nil {
		return nil
	}
	return i.scheme
}

// ready has a connection made for a call with the credential of i, unless that is what
// the connection is to show.
func (u *upstream) ready(i *injection) {
	if _, own := i.scheme.(injector.MTLS); !own {
		u.send.Ready()
	}
}

// injectionFor returns the first credential registered for a target, nil for
// an upstream that needs none, and false when none fits. A call without a
// target is served only by a credential for every call.
func (u *upstream) injectionFor(target string) (*injection, bool) {
	if u.open {
		return nil, true
	}
	for i := range u.injections {
		if u.injections[i].serves(target) {
			return &u.injections[i], true
		}
	}
	return nil, false
}

func (i *injection) serves(target string) bool {
	return len(i.tools) == 0 || target != "" && slices.ContainsFunc(i.tools, func(tool string) bool {
		if prefix, open := strings.CutSuffix(tool, "*"); open {
			return strings.HasPrefix(target, prefix)
		}
		return tool == target
	})
}

func openUpstream(u bundle.Upstream) (*upstream, error) {
	send, err := injector.OpenUpstream(u)
	if err != nil {
		return nil, err
	}
	up := &upstream{plain: u.Kind == "http", open: u.Unauthenticated && len(u.Credentials) == 0, send: send, timeout: u.Timeout.Duration}
	up.speaks.registered = eraOf(u.Protocol)
	up.oneEra = u.OtherEra == "refuse"
	up.holds = u.ToolChanges == "refuse"
	for _, c := range u.Credentials {
		scheme, err := injector.Open(c)
		if err != nil {
			send.Close()
			return nil, err
		}
		up.injections = append(up.injections, injection{
			provider: c.Provider, name: c.Scheme, scheme: scheme, tools: c.Tools,
			warns: rate.NewLimiter(rate.Every(time.Minute), 1)})
	}
	return up, nil
}
