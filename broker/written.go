package broker

import (
	"crypto/sha256"
	"encoding/hex"

	"mintmark/broker/audit"
)

// decisionRecord is what the record says of the call so far. It is a value: with all
// that it has room for it is large, and nobody needs it once it is written.
func (c *call) decisionRecord() (rec audit.Record) {
	rec = audit.Record{
		Kind: audit.Decision, Call: c.id, Bundle: c.snap.bundle.Digest,
		Agent: c.identity.Subject(), Attestor: c.identity.Attestor(), Evidence: c.identity.Evidence(),
		Upstream: c.name, Method: c.method, Tool: c.object(), Trace: traceID(c.r.Header.Get("Traceparent")),
		Policies: c.decision.Policies, Stripped: c.stripped,
	}
	if handle := c.handle(); handle != "" {
		rec.Session = sessionDigest(handle)
	} else if c.bridged != nil {
		rec.Session = c.bridged.digest
	}
	rec.Arguments, rec.Body = digestOf(c.msg.Arguments), digestOf(c.said())
	if u := c.outgoing.URL; u != nil {
		rec.Query = digestOf([]byte(u.RawQuery))
	}
	if facts := c.decision.Facts; len(facts) > 0 {
		rec.Posture = make([]audit.PostureFact, len(facts))
		for i, f := range facts {
			rec.Posture[i] = audit.PostureFact{Name: f.Name, Value: f.Value, AgeS: f.Seconds(c.started), Issuer: f.Issuer}
		}
	}
	if !c.credential.IsZero() {
		rec.Credential, rec.Provider, rec.Scheme = c.credential.ID(), c.credential.Provider(), c.injection.name
		rec.Fingerprint, rec.Scopes = c.credential.Fingerprint(), c.credential.Scopes()
		rec.NotAfter, rec.Cached = c.credential.NotAfter(), c.cached
	}
	return rec
}

// sessionDigest is what a record knows a session by: its handle opens it.
func sessionDigest(handle string) string {
	digest := sha256.Sum256([]byte(handle))
	return hex.EncodeToString(digest[:16])
}

// said is the body, or the part of it that is this message of a batch.
func (c *call) said() []byte {
	if c.msg.Raw != nil {
		return c.msg.Raw
	}
	return c.body
}

// digestOf returns the hex SHA-256 of what was sent, or "" for nothing.
func digestOf(content []byte) string {
	if len(content) == 0 {
		return ""
	}
	sum := sha256.Sum256(content)
	var text [2 * sha256.Size]byte
	hex.Encode(text[:], sum[:])
	return string(text[:])
}

// traceID returns the trace id of a W3C traceparent header, or "".
func traceID(traceparent string) string {
	if len(traceparent) < 55 || traceparent[2] != '-' || traceparent[35] != '-' {
		return ""
	}
	id := traceparent[3:35]
	var decoded [16]byte
	if _, err := hex.Decode(decoded[:], []byte(id)); err != nil {
		return ""
	}
	return id
}
