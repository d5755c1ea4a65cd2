package bundle

import (
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"mintmark/internal/egress"
)

// checker holds the rules that reach across fields.
type checker struct {
	config  *Config
	decoder *decoder
}

func (c checker) all() {
	c.trust()
	c.listeners()
	c.authorizationServers()
	c.names("posture", keys(c.config.Posture))
	c.names("clocks", keys(c.config.Clocks))
	c.names("providers", keys(c.config.Providers))
	c.grants()
	c.names("upstreams", keys(c.config.Upstreams))
	for _, name := range keys(c.config.Upstreams) {
		c.upstream(c.decoder.join("upstreams", name), c.config.Upstreams[name])
	}
	c.audit()
	c.limits()
	c.metrics()
}

func keys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// quote shows a value in a message, by its length where it could be a secret.
func (c checker) quote(s string) string { return c.decoder.secrets.quote(s) }

// names refuses names that would need quoting somewhere: in a path, a policy,
// a metric label.
func (c checker) names(path string, names []string) {
	for _, name := range names {
		if !IsName(name) {
			c.decoder.fault(c.decoder.join(path, name), "a name of lower-case letters, digits and hyphens that begins with a letter, at most 63", c.quote(name))
		}
	}
}

// IsName reports whether s is a name as a bundle gives to upstreams.
func IsName(s string) bool {
	return s != "" && len(s) <= 63 && s[0] >= 'a' && s[0] <= 'z' &&
		!strings.ContainsFunc(s, func(r rune) bool { return (r < 'a' || r > 'z') && !isDigit(r) && r != '-' })
}

func (c checker) oneOf(path, got string, allowed ...string) {
	if !slices.Contains(allowed, got) {
		c.decoder.fault(path, "one of "+strings.Join(allowed, ", "), c.quote(got)+DidYouMean(got, allowed))
	}
}

func (c checker) trust() {
	trust := c.config.Trust
	c.trustDomain("trust_domain", c.config.TrustDomain)
	if trust.WorkloadAPI != "" && !isUnix(trust.WorkloadAPI) {
		c.decoder.fault("trust.workload_api", `a socket such as "unix:///run/spire/agent.sock"`, c.quote(trust.WorkloadAPI))
	}
	seen := map[spiffeid.TrustDomain]bool{}
	for i, b := range trust.Bundles {
		path := "trust.bundles" + index(i) + ".trust_domain"
		c.trustDomain(path, b.TrustDomain)
		if seen[b.TrustDomain] && !b.TrustDomain.IsZero() {
			c.decoder.fault(path, "each trust domain once", "a second bundle of "+b.TrustDomain.Name())
		}
		seen[b.TrustDomain] = true
	}
}

// trustDomain refuses the spellings that SPIFFE's own parser is lenient about:
// a whole SPIFFE ID in place of the name.
func (c checker) trustDomain(path string, td spiffeid.TrustDomain) {
	if n := c.decoder.nearest(path); !td.IsZero() && n.Value != td.Name() {
		c.decoder.fault(path, "the name alone: "+strconv.Quote(td.Name()), c.quote(n.Value))
	}
}

// isUnix reports whether address names a Unix socket by an absolute path.
func isUnix(address string) bool {
	path, ok := strings.CutPrefix(address, "unix://")
	return ok && filepath.IsAbs(path) && path != "/" && !strings.HasSuffix(path, "/")
}

// authorizationServers also refuses servers of tokens that no attestor takes.
func (c checker) authorizationServers() {
	const path = "authorization_servers"
	seen := map[string]bool{}
	for i, u := range c.config.AuthorizationServers {
		switch {
		case u.URL == nil: // what is wrong with it is reported by the decoder
		case u.Scheme == "http" && !u.Loopback():
			c.decoder.fault(path+index(i), "https or a loopback host", "http to "+c.quote(u.Hostname()))
		case seen[u.String()]:
			c.decoder.fault(path+index(i), "each server once", c.quote(u.String())+" again")
		}
		seen[u.String()] = true
	}
	if len(seen) > 0 && !slices.Contains(c.config.Schemes(), "Bearer") {
		c.decoder.faultOf([]string{"attestors"}, path, "an attestor that takes their tokens, such as jwt-svid", "none")
	}
}

func (c checker) upstream(path string, u Upstream) {
	c.oneOf(path+".kind", u.Kind, "mcp", "http")
	if u.Kind == "mcp" {
		c.oneOf(path+".protocol", u.Protocol, "auto", "sessions", "stateless")
		c.oneOf(path+".other_era", u.OtherEra, "bridge", "refuse")
		c.tools(path, u)
	} else if u.Protocol != "" || u.OtherEra != "" || u.ToolChanges != "" || len(u.ToolDigests) > 0 {
		c.decoder.faultOf([]string{path + ".kind"}, path, "kind: mcp for protocol, other_era, tool_changes and tool_digests", "kind: "+u.Kind)
	}
	c.upstreamURL(path, u)
	switch {
	case u.Unauthenticated && len(u.Credentials) > 0:
		c.decoder.fault(path+".unauthenticated", "either unauthenticated: true or credentials", "both")
	case !u.Unauthenticated && len(u.Credentials) == 0:
		c.decoder.faultOf([]string{path + ".credentials", path + ".unauthenticated"}, path,
			"credentials, or unauthenticated: true for an upstream that needs none", "neither")
	}
	for i, in := range u.Credentials {
		at := path + ".credentials" + index(i)
		c.injection(at, u, in)
		if i > 0 && len(u.Credentials[i-1].Tools) == 0 {
			c.decoder.faultOf([]string{path + ".credentials" + index(i-1) + ".tools"}, at,
				"an entry that some call reaches", "one behind an entry that serves every call")
		}
	}
}

func (c checker) tools(path string, u Upstream) {
	c.oneOf(path+".tool_changes", u.ToolChanges, "record", "refuse")
	for _, tool := range keys(u.ToolDigests) {
		if digest, err := hex.DecodeString(u.ToolDigests[tool]); err != nil || len(digest) != 32 || strings.ToLower(u.ToolDigests[tool]) != u.ToolDigests[tool] {
			c.decoder.fault(path+".tool_digests", "64 lower-case hex digits for each tool", c.quote(u.ToolDigests[tool])+" for "+c.quote(tool))
		}
	}
}

func (c checker) upstreamURL(path string, u Upstream) {
	if u.URL.URL == nil {
		return
	}
	if u.URL.Scheme == "http" && !u.AllowPlaintext && !u.URL.Loopback() {
		c.decoder.fault(path+".url", "https, a loopback host, or allow_plaintext: true", "http to "+c.quote(u.URL.Hostname()))
	}
	if ip, err := netip.ParseAddr(u.URL.Hostname()); err == nil && egress.Refused(ip) {
		c.decoder.fault(path+".url", "the address of a server: link-local, multicast and metadata addresses are never called", c.quote(u.URL.Hostname()))
	}
	if u.URL.Scheme == "http" && u.CA != "" {
		c.decoder.fault(path+".ca", "an https url to verify", "an http one")
	}
}

func (c checker) audit() {
	c.oneOf("audit.sync", c.config.Audit.Sync, "grouped", "always")
	if size := c.config.Audit.SegmentSize; size < 64<<10 {
		c.decoder.fault("audit.segment_size", "at least 64KiB", size.String())
	}
}

// The most that limits counted in numbers can be.
const (
	maxDepth = 10_000
	maxCount = 1 << 20
)

// zeroes refuses limits of 0 that the file itself says: who writes that means
// none, or no limit, and neither is to be had.
func (c checker) zeroes() {
	for path, high := range map[string]int64{"limits.depth": maxDepth, "limits.concurrent": maxCount, "limits.connections": maxCount} {
		if n, ok := c.decoder.nodes[path]; ok && n.Value == "0" {
			c.between(path, 0, 1, high)
		}
	}
}

func (c checker) limits() {
	l := c.config.Limits
	c.between("limits.depth", int64(l.Depth), 1, maxDepth)
	c.between("limits.concurrent", int64(l.Concurrent), 1, maxCount)
	c.between("limits.connections", int64(l.Connections), 1, maxCount)
	c.between("limits.body", int64(l.Body), 1<<10, 1<<30)
	c.between("limits.answer", int64(l.Answer), 1<<10, 1<<30)
	c.between("limits.header", int64(l.Header), 1<<10, 1<<20)
	c.atMost("limits.header_time", l.HeaderTime, 5*time.Minute, "")
	c.atMost("limits.body_time", l.BodyTime, time.Hour, "")
	c.atMost("limits.shutdown", l.Shutdown, 20*time.Second, ", as systemd and Kubernetes kill after 30s and leases are revoked in between")
	c.atMost("limits.shutdown_delay", l.ShutdownDelay, 5*time.Minute, "")
}

func (c checker) atMost(path string, got Duration, high time.Duration, because string) {
	if got.Duration > high {
		c.decoder.fault(path, "at most "+high.String()+because, got.String())
	}
}

func (c checker) between(path string, got, low, high int64) {
	if got < low || got > high {
		c.decoder.fault(path, fmt.Sprintf("between %d and %d", low, high), strconv.FormatInt(got, 10))
	}
}

func (c checker) metrics() {
	if c.config.Metrics == "" {
		return
	}
	if host, ok := splitAddress(c.config.Metrics); !ok || !loopback(host) {
		c.decoder.fault("metrics", `a loopback address such as "127.0.0.1:9464"`, c.quote(c.config.Metrics))
	}
}
