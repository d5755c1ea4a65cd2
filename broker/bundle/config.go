// Package bundle reads a directory of registrations (mintmark.yaml) and
// policies (*.cedar) into one immutable, validated value that is named by the
// digest of its content. A bundle holds no secret, only references to them.
package bundle

import (
	"net/url"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// Bundle is what one directory says. It does not change once loaded.
type Bundle struct {
	Dir      string // absolute; relative paths in Config are resolved against it
	Digest   string // hex SHA-256 over the names and contents of its files
	Config   Config
	Policies []PolicyFile // sorted by name

	places map[string]Problem // where each value is, without a text
}

// PolicyFile is one *.cedar file, not yet compiled.
type PolicyFile struct {
	Name    string // base name, used in policy positions
	Content []byte
}

// Config is mintmark.yaml. Every field is documented here, and for operators in
// docs/configuration.md, which a test holds to this: the names in the tags are
// the names in the file. Names that the file gives to
// posture, clocks, providers and upstreams are of lower-case letters, digits
// and hyphens, begin with a letter and have at most 63 characters.
type Config struct {
	// TrustDomain is the SPIFFE trust domain the broker belongs to.
	TrustDomain spiffeid.TrustDomain `yaml:"trust_domain" check:"required"`
	// Trust says where trust bundles and the broker's own identity come from.
	Trust Trust `yaml:"trust" check:"required"`
	// Listeners are the sockets agents call.
	Listeners []Listener `yaml:"listeners" check:"required"`
	// Attestors are all asked about a call, in order. Two that prove different
	// workloads refuse it; evidence that proves nothing beside evidence that
	// does is ignored, and stripped like any other.
	Attestors []Attestor `yaml:"attestors" check:"required"`
	// AuthorizationServers are the issuers (RFC 8414) of the bearer tokens that
	// attestors take, for OAuth clients that ask where to get one: https, or http
	// on a loopback host, as each server spells itself. Empty: clients are told of
	// none, as workloads get their tokens from the Workload API.
	AuthorizationServers []URL `yaml:"authorization_servers"`
	// Posture sources, by the name of the fact they state.
	Posture map[string]Source `yaml:"posture"`
	// Clocks are the named time zones that policies read: berlin: Europe/Berlin.
	Clocks map[string]Zone `yaml:"clocks"`
	// Providers mint credentials, by name.
	Providers map[string]Provider `yaml:"providers"`
	// Upstreams are what agents may call, by the name used in /mcp/NAME.
	Upstreams map[string]Upstream `yaml:"upstreams" check:"required"`
	// Audit is where the record is kept.
	Audit Audit `yaml:"audit"`
	// State is the directory of what the broker remembers beside the record: the
	// tools it has seen. Default "state" in the directory of the record.
	State Path `yaml:"state"`
	// Escrow is the directory, of a file system in memory, of tokens that their system
	// revokes only where it is shown them: sealed, for the next start to revoke after a
	// crash. Or "off". Default: that of systemd's RuntimeDirectory, or else /dev/shm.
	Escrow Escrow `yaml:"escrow"`
	// Limits bound what a stranger can make the broker do.
	Limits Limits `yaml:"limits"`
	// Metrics is the loopback address that serves /metrics, /healthz and
	// /readyz; empty: none.
	Metrics string `yaml:"metrics"`
}

// Trust is the root of what the broker believes: at least one of its fields is
// set. A trust domain named under Bundles is believed from that file alone.
type Trust struct {
	// WorkloadAPI is the SPIFFE Workload API socket: unix:///run/spire/agent.sock.
	// It gives the trust bundles and the broker's own SVIDs.
	WorkloadAPI string `yaml:"workload_api"`
	// Bundles are SPIFFE trust bundle files, for trust domains that the
	// Workload API does not serve. They are read again when they change.
	Bundles []TrustBundle `yaml:"bundles"`
}

// TrustBundle is one trust domain's bundle in the SPIFFE format (a JWK set).
type TrustBundle struct {
	TrustDomain spiffeid.TrustDomain `yaml:"trust_domain" check:"required"`
	File        Path                 `yaml:"file" check:"required"`
}

// Listener is one socket. TLS is the rule; Plaintext is for a sidecar and is
// refused on any address that is not loopback or a Unix socket.
type Listener struct {
	// Address is host:port, or unix:///path.
	Address string `yaml:"address" check:"required"`
	// Plaintext turns TLS off.
	Plaintext bool `yaml:"plaintext"`
	// Cert and Key are PEM files; without them the broker's own X.509-SVID is served.
	Cert Path `yaml:"cert"`
	Key  Path `yaml:"key"`
	// Hosts are the Host (and Origin) names accepted beside the address itself.
	// Required for an address of every interface, such as ":8443" or
	// "0.0.0.0:8443": that is no name an agent can call.
	Hosts []string `yaml:"hosts"`
}

// Attestor is one registered attestor; Settings is its kind's own type.
type Attestor struct {
	Kind     string `yaml:"kind" check:"required"`
	Settings any    `yaml:",settings"`
}

// Source is one registered posture source; Settings is its kind's own type.
type Source struct {
	Kind     string `yaml:"kind" check:"required"`
	Settings any    `yaml:",settings"`
}

// Provider is one registered provider; Settings is its kind's own type.
type Provider struct {
	Kind string `yaml:"kind" check:"required"`
	// PerAgent keeps one credential per agent instead of one for all.
	PerAgent bool `yaml:"per_agent"`
	// MaxAge bounds how long one credential is used, whatever its own expiry.
	MaxAge   Duration `yaml:"max_age"`
	Settings any      `yaml:",settings"`
}

// Upstream is one registered server. Scheme, host and path of every call to it
// come from URL and from nothing an agent sends.
type Upstream struct {
	// Kind is "mcp" (default) or "http".
	Kind string `yaml:"kind"`
	URL  URL    `yaml:"url" check:"required"`
	// AllowPlaintext permits an http URL that is not loopback.
	AllowPlaintext bool `yaml:"allow_plaintext"`
	// CA is a PEM file of the roots to trust instead of the system's.
	CA Path `yaml:"ca"`
	// Credentials are tried in order; the first whose Tools match the call
	// serves it. No match: the call is refused.
	Credentials []Injection `yaml:"credentials"`
	// Unauthenticated states that this upstream needs no credential.
	Unauthenticated bool `yaml:"unauthenticated"`
	// Protocol is the form of MCP that the upstream speaks: "sessions" (revisions
	// up to 2025-11-25), "stateless" (2026-07-28) or "auto" (default), which asks
	// it. Where an agent speaks the other one, Mintmark translates.
	Protocol string `yaml:"protocol"`
	// OtherEra says what follows when an agent speaks the other form of MCP:
	// "bridge" (the default) carries its calls over, and "refuse" answers as a
	// server of one form does, so that a client that speaks both keeps to the
	// upstream's own.
	OtherEra string `yaml:"other_era"`
	// ToolChanges says what follows when a tool's name, description or schema is
	// no longer what it was when it was first seen: "record" (default) puts that
	// on record; "refuse" also hides the tool and refuses its calls until the
	// change is approved with "mintmark upstream approve".
	ToolChanges string `yaml:"tool_changes"`
	// ToolDigests are definitions to hold tools to, instead of the first ones
	// seen: by tool, the hex SHA-256 that "mintmark upstream tools" shows.
	ToolDigests map[string]string `yaml:"tool_digests"`
	// Timeout bounds the wait for the upstream's answer to begin, and for each next
	// piece of one that is no stream. Default 60s.
	Timeout Duration `yaml:"timeout"`
}

// Audit is where the record is kept.
type Audit struct {
	// Directory holds the segments. Default "audit" beside mintmark.yaml.
	Directory Path `yaml:"directory"`
	// SigningKey is a PKCS #8 PEM file with the Ed25519 key of the
	// checkpoints; made with mode 0600 when absent. Default DIRECTORY/signing.key.
	SigningKey Path `yaml:"signing_key"`
	// Sync "always" fsyncs each record before its call goes on; "grouped"
	// (default) fsyncs at least every 10 ms, mints always before use.
	Sync string `yaml:"sync"`
	// SegmentSize is when a new segment begins. Default 64MiB.
	SegmentSize Size `yaml:"segment_size"`
}

// Limits bound what a stranger can make the broker do. Zero means the default.
type Limits struct {
	// Body is the largest request body. Default 4MiB.
	Body Size `yaml:"body"`
	// Answer is the largest answer, or event of one, that is read whole because
	// of what it may list; others are relayed as they come, whatever their size.
	// Default 16MiB.
	Answer Size `yaml:"answer"`
	// Header is the largest request head. Default 32KiB.
	Header Size `yaml:"header"`
	// Depth is the deepest nesting of JSON. Default 64.
	Depth int `yaml:"depth"`
	// HeaderTime and BodyTime bound how long a request may take to arrive.
	// Defaults 5s and 30s, at most 5m and 1h: past that they bound nothing.
	HeaderTime Duration `yaml:"header_time"`
	BodyTime   Duration `yaml:"body_time"`
	// Concurrent is how many calls may be under way; more are refused as
	// unavailable. Default 4096.
	Concurrent int `yaml:"concurrent"`
	// Connections is how many connections each listener holds; more wait to be
	// accepted. Keep it below the process's limit of open files. Default 8192.
	Connections int `yaml:"connections"`
	// Shutdown is how long calls under way may take to end. Default 10s, at
	// most 20s: leases are revoked after it, which takes up to 10s, and systemd
	// and Kubernetes kill a process that has not ended within 30s.
	Shutdown Duration `yaml:"shutdown"`
	// ShutdownDelay is for how long calls are still taken after a signal to end, while
	// /readyz answers 503 already. Default none, at most 5m: what kills the process
	// after 30s has to wait for so much longer.
	ShutdownDelay Duration `yaml:"shutdown_delay"`
}

// Duration is a time.Duration written "1h30m".
type Duration struct{ time.Duration }

// Size is a number of bytes written "4MiB", "64KiB" or "512".
type Size int64

// Path is a file name; once loaded it is absolute.
type Path string

// Escrow is a directory as Path is, or NoEscrow.
type Escrow string

// NoEscrow says that nothing is to be kept.
const NoEscrow Escrow = "off"

// URL is an absolute http or https URL without user info, query or fragment.
type URL struct{ *url.URL }

// Date is a day, written "2026-05-01"; as a time it is the first instant of it in UTC.
type Date struct{ time.Time }

// Zone is an IANA time zone.
type Zone struct{ *time.Location }
