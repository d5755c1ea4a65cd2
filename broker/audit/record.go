package audit

import (
	"cmp"
	"time"
)

// Kind is what a record is about.
type Kind string

// The kinds of record. A call that is judged makes a decision record before
// anything leaves, and an outcome record when its answer has ended.
const (
	Decision Kind = "decision" // a judged call, allowed or denied, or a refusal before judgement
	Outcome  Kind = "outcome"  // how an allowed call ended: status, bytes, duration, scrub hits
	Issuance Kind = "issuance" // a credential minted, renewed or revoked, or what failed of it
	Posture  Kind = "posture"  // a posture fact changed
	Admin    Kind = "admin"    // the log itself, a bundle applied, start and stop
)

// Record is one line of the log. It never holds a secret: only digests,
// fingerprints and names. Append sets Seq and Time. Whatever a stranger can
// choose is bounded as it is written: see appendString and maxList.
type Record struct {
	Seq  uint64    `json:"seq"`
	Time time.Time `json:"time"` // UTC, nanoseconds
	Kind Kind      `json:"kind"`

	Call   string `json:"call,omitempty"`   // joins a call's records: 32 hex characters
	Event  string `json:"event,omitempty"`  // issuance: mint|mint_failed|mint_late|renew|renew_failed|held|orphan|orphan_login|revoke|revoke_failed|login|logout|logout_failed; admin: start|stop|bundle|trial|torn_tail|unsigned_tail|log_gap|strangers_skipped|tool_seen|tool_changed|tool_restored|tool_approved|tools_skipped|secret_masked|revoke_all|revoke_all_failed; posture: changed|retracted
	Bundle string `json:"bundle,omitempty"` // hex SHA-256 of the bundle in force

	Agent    string        `json:"agent,omitempty"`    // SPIFFE ID, only when proven
	Attestor string        `json:"attestor,omitempty"` // kind of attestor
	Evidence string        `json:"evidence,omitempty"` // hex SHA-256 of the evidence
	Posture  []PostureFact `json:"posture,omitempty"`  // the facts the decision could see

	Upstream  string `json:"upstream,omitempty"`
	Method    string `json:"method,omitempty"`    // MCP method, or "http/GET"
	Tool      string `json:"tool,omitempty"`      // tool, prompt, resource URI or path
	Arguments string `json:"arguments,omitempty"` // hex SHA-256 of the arguments' bytes
	Body      string `json:"body,omitempty"`      // hex SHA-256 of the body that is sent
	Query     string `json:"query,omitempty"`     // plain calls: hex SHA-256 of the query that is sent
	Session   string `json:"session,omitempty"`   // hex SHA-256 prefix of the session handle
	Trace     string `json:"trace,omitempty"`     // W3C trace id

	Allow    bool     `json:"allow,omitempty"`
	Policies []string `json:"policies,omitempty"` // determining policy ids
	Fault    string   `json:"fault,omitempty"`    // fault.Kind of a refusal
	Step     string   `json:"step,omitempty"`     // step that refused: receive, attest, decide, lease, …
	Reason   string   `json:"reason,omitempty"`   // for people; the words the agent saw, with more after them or not, or the operator's
	Stripped []string `json:"stripped,omitempty"` // names of what could have carried the agent's own auth

	Credential  string    `json:"credential,omitempty"`  // the lease's id
	Provider    string    `json:"provider,omitempty"`    // registered name
	Scheme      string    `json:"scheme,omitempty"`      // how it is injected
	Fingerprint string    `json:"fingerprint,omitempty"` // keyed hash of the secret: comparable, not reversible
	Scopes      []string  `json:"scopes,omitempty"`
	NotAfter    time.Time `json:"not_after,omitzero"`
	SystemEnd   time.Time `json:"system_end,omitzero"` // issuance with a lease or in escrow: when the issuing system ends it by itself; none: never
	Cached      bool      `json:"cached,omitempty"`    // the lease was already held
	Lease       string    `json:"lease,omitempty"`     // issuance: the issuing system's handle, to revoke an orphan by
	Issuer      string    `json:"issuer,omitempty"`    // issuance with a lease: the system that knows it, where the provider says which
	Escrow      bool      `json:"escrow,omitempty"`    // issuance: its system ends it only where it is shown the secret, which is kept in memory for the next start

	Status    int           `json:"status,omitempty"`
	Bytes     int64         `json:"bytes,omitempty"`
	Duration  time.Duration `json:"duration_ns,omitempty"`
	ScrubHits int           `json:"scrub_hits,omitempty"` // injected secrets removed from the answer
	Subject   string        `json:"subject,omitempty"`    // posture: whom the fact is about
	Count     int64         `json:"count,omitempty"`      // log_gap: records refused or lost while the log could not be written; torn_tail: bytes; unsigned_tail: records; strangers_skipped: refusals; tools_skipped: changes
}

// Known reports whether k is a kind of record; the zero Kind is none.
func (k Kind) Known() bool {
	switch k {
	case Decision, Outcome, Issuance, Posture, Admin:
		return true
	}
	return false
}

// About returns the agent that called, or the subject of a posture record: a workload or
// the digest of an image.
func (r *Record) About() string { return cmp.Or(r.Agent, r.Subject) }

// PostureFact is a fact as the decision saw it.
type PostureFact struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	AgeS   int64  `json:"age_s"`
	Issuer string `json:"issuer"`
}
