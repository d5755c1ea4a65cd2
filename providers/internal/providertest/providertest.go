// Package providertest is what tests of providers share: a Pool with a real log
// behind it, and the search for secrets in everything that the two write.
package providertest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"mintmark/attest"
	"mintmark/broker/audit"
	"mintmark/broker/bundle"
	"mintmark/internal/fault"
	"mintmark/providers"
)

// Rig is a Pool with its log. Stop or Finish ends it and looks for secrets.
type Rig struct {
	*providers.Pool
	Log  *audit.Log
	Logs *Buffer // what the Pool logged

	dir     string
	hidden  []string
	refused error // what Refused got last
}

// New returns a rig of the given providers. Nothing that it writes may hold one
// of the hidden secrets.
func New(t testing.TB, entries map[string]providers.Entry, hidden []string, change ...func(*providers.PoolOptions)) *Rig {
	t.Helper()
	r := &Rig{dir: t.TempDir(), Logs: &Buffer{}, hidden: hidden}
	var err error
	// The zero key is no secret: nothing signed here is ever believed.
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	if r.Log, err = audit.Open(audit.Options{Directory: r.dir, SigningKey: key}); err != nil {
		t.Fatalf("open log: %v", err)
	}
	options := providers.PoolOptions{
		Log:            r.Log,
		FingerprintKey: []byte("0123456789abcdef0123456789abcdef"),
		Bundle:         func() string { return "b0b0" },
		Logger:         slog.New(slog.NewTextHandler(r.Logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, c := range change {
		c(&options)
	}
	if r.Pool, err = providers.NewPool(entries, options); err != nil {
		t.Fatalf("new pool: %v", err)
	}
	return r
}

// One returns a rig of one provider, "db".
func One(t testing.TB, p providers.Provider, hidden ...string) *Rig {
	t.Helper()
	return New(t, map[string]providers.Entry{"db": {Provider: p}}, hidden)
}

// Orphans returns what has not ended according to the log: what a start finds after
// a crash.
func (r *Rig) Orphans(t testing.TB) []audit.Record { return r.OrphansAt(t, time.Now()) }

// OrphansAt is Orphans for a start at another time.
func (r *Rig) OrphansAt(t testing.TB, at time.Time) []audit.Record {
	t.Helper()
	return providers.Orphans(audit.Recent(r.dir, providers.OrphanWindow, audit.Filter{Kind: audit.Issuance}), at, slog.New(slog.NewTextHandler(r.Logs, nil)))
}

// Hide adds secrets to look for.
func (r *Rig) Hide(secrets ...string) { r.hidden = append(r.hidden, secrets...) }

// Stop closes the pool and finishes.
func (r *Rig) Stop(t testing.TB) {
	t.Helper()
	if err := r.Close(t.Context()); err != nil {
		t.Errorf("close pool: %v", err)
	}
	r.Finish(t)
}

// Finish closes the log and looks for the hidden secrets.
func (r *Rig) Finish(t testing.TB) {
	t.Helper()
	if err := r.Log.Close(); err != nil {
		t.Errorf("close log: %v", err)
	}
	r.Clean(t, "the log output", r.Logs.String())
	for _, record := range r.Records(t) {
		encoded, err := json.Marshal(record)
		if err != nil {
			t.Fatalf("encode record: %v", err)
		}
		r.Clean(t, "a record", string(encoded))
	}
}

// Clean demands that text holds no hidden secret.
func (r *Rig) Clean(t testing.TB, where, text string) {
	t.Helper()
	for _, secret := range r.hidden {
		if secret != "" && strings.Contains(text, secret) {
			t.Errorf("a secret is in %s: %s", where, strings.ReplaceAll(text, secret, "<<here>>"))
		}
	}
}

// Records returns the issuance records, oldest first.
func (r *Rig) Records(t testing.TB) []audit.Record {
	t.Helper()
	var all []audit.Record
	for record, err := range audit.Query(r.dir, audit.Filter{Kind: audit.Issuance}) {
		if err != nil {
			t.Fatalf("query log: %v", err)
		}
		all = append(all, record)
	}
	return all
}

// Events returns the issuance events on record, oldest first, those of the
// broker's own logins left out.
func (r *Rig) Events(t testing.TB) string {
	t.Helper()
	var events []string
	for event := range strings.FieldsSeq(r.History(t)) {
		if !strings.HasPrefix(event, "log") {
			events = append(events, event)
		}
	}
	return strings.Join(events, " ")
}

// History returns all issuance events on record, oldest first.
func (r *Rig) History(t testing.TB) string {
	t.Helper()
	var events []string
	for _, record := range r.Records(t) {
		events = append(events, record.Event)
	}
	return strings.Join(events, " ")
}

// Must leases a credential of "db" that is good, and says whether it was held.
func (r *Rig) Must(t testing.TB, req providers.Request) (providers.Credential, bool) {
	t.Helper()
	c, cached, err := r.Lease(t.Context(), "db", req)
	if err != nil {
		t.Fatalf("lease: %v", err)
	}
	if c.IsZero() || !r.Valid(c) {
		t.Fatalf("lease: got %v, want a valid credential", c)
	}
	return c, cached
}

// Refused demands that a lease of "db" fails with a fault of the given kind,
// whose texts hold no secret, and returns its hint.
func (r *Rig) Refused(t testing.TB, req providers.Request, want fault.Kind) string {
	t.Helper()
	c, cached, err := r.Lease(t.Context(), "db", req)
	if err == nil || !c.IsZero() || cached {
		t.Fatalf("lease: got %v (cached %t, error %v), want none and an error", c, cached, err)
	}
	if fault.KindOf(err) != want || fault.HintOf(err) == "" {
		t.Errorf("lease: got fault %v (%v), want %v with a hint", fault.KindOf(err), err, want)
	}
	r.Clean(t, "an error", fmt.Sprintf("%v %+v %#v", err, err, err))
	r.refused = err
	return fault.HintOf(err)
}

// Names demands that the error which Refused got last tells the operator what was
// asked, and its hint does not tell the agent.
func (r *Rig) Names(t testing.TB, asked string) {
	t.Helper()
	if got := r.refused.Error(); !strings.Contains(got, asked) || strings.Contains(fault.HintOf(r.refused), asked) {
		t.Errorf("got %q, want %q in it, and not in the hint", got, asked)
	}
}

// Reveal returns what c is made of, against a record of its use, and hides that
// from here on.
func (r *Rig) Reveal(t testing.TB, c providers.Credential) providers.Opened {
	t.Helper()
	receipt, err := r.Log.Append(t.Context(), &audit.Record{Kind: audit.Decision, Allow: true, Credential: c.ID()})
	if err != nil {
		t.Fatalf("append: %v", err)
	}
	opened, err := c.Reveal(receipt)
	if err != nil {
		t.Fatalf("reveal: %v", err)
	}
	r.Hide(opened.Token(), opened.Password(), opened.SecretAccessKey(), opened.SessionToken())
	r.Clean(t, "a printed credential", fmt.Sprintf("%v %+v %#v %v %#v", c, c, c, opened, opened))
	return opened
}

// CheckAnswer demands of what a Mint returned that it is a credential, or an
// error of a known kind with a hint that holds nothing of what is hidden, with what was
// issued all the same or without.
func CheckAnswer(t testing.TB, c providers.Credential, err error, hidden string) {
	t.Helper()
	if err == nil {
		if c.Kind() == "" {
			t.Error("got neither a credential nor an error")
		}
		return
	}
	f, ok := err.(*fault.Error) //nolint:errorlint // the Pool looks at the outermost alone
	if !ok || f.Hint == "" || (f.Kind != fault.Unavailable && f.Kind != fault.Internal) {
		t.Errorf("got %#v, want a fault with a hint, unavailable or internal", err)
	}
	if hidden != "" && strings.Contains(err.Error(), hidden) {
		t.Errorf("the answer is in an error: %v", err)
	}
}

// StaysKnown demands that what a system issued, and p refuses, is on record with the reason, and with
// how long it is good there, since such a system can't be told to end it: in the words of Until or
// UntilUnknown. Where nothing was issued, until is "".
func StaysKnown(t testing.TB, p providers.Provider, reason, until string, hidden ...string) {
	t.Helper()
	r := New(t, map[string]providers.Entry{"db": {Provider: p}}, hidden)
	if c, _, err := r.Lease(t.Context(), "db", Agent(t, "spiffe://a.test/1")); err == nil || !c.IsZero() {
		t.Errorf("got %v and %v, want it refused", c, err)
	}
	r.Stop(t)
	if got := r.Events(t); got != "mint_failed" {
		t.Errorf("events: got %q, want one mint_failed", got)
	}
	made := r.Records(t)[0]
	issued := until != ""
	if (made.Credential != "") != issued || (made.Fingerprint != "") != issued || !strings.Contains(made.Reason, reason) || !strings.HasSuffix(made.Reason, until) {
		t.Errorf("got the record %+v, want what was issued on it (%t), %q and %q", made, issued, reason, until)
	}
}

// UntilUnknown is how StaysKnown has it that a system does not say when what it issued ends.
const UntilUnknown = ": it was issued, and its system can't be told to end it: nobody here knows until when it is good there"

// Until is how StaysKnown has it that it ends at a time.
func Until(end time.Time) string {
	return ": it was issued, and its system can't be told to end it: it is good there until " + end.UTC().Format(time.RFC3339)
}

// Agent returns a request of a proven agent.
func Agent(t testing.TB, id string) providers.Request {
	t.Helper()
	return AgentOf(t, "", id)
}

// AgentOf returns a request of an agent that issuer vouches for.
func AgentOf(t testing.TB, issuer, id string) providers.Request {
	t.Helper()
	parsed, err := spiffeid.FromString(id)
	if err != nil {
		t.Fatal(err)
	}
	return providers.Request{Agent: attest.Proven(attest.Proof{ID: parsed, Issuer: issuer, Attestor: "test", Expires: time.Now().Add(time.Hour)})}
}

// NoX509SVID is the part of an identity that has JWT-SVIDs only.
type NoX509SVID struct{}

// X509SVID returns an error.
func (NoX509SVID) X509SVID(context.Context) ([][]byte, crypto.Signer, error) {
	return nil, nil, errors.New("get own X.509-SVID: this identity has none")
}

// Ref returns a reference to a file that holds secret.
func Ref(t testing.TB, secret string) bundle.Ref {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return Parse[bundle.Ref](t, "file:"+path)
}

// URL returns the URL that text names.
func URL(t testing.TB, text string) bundle.URL {
	t.Helper()
	return Parse[bundle.URL](t, text)
}

// Parse reads a value of a configuration.
func Parse[T any, P interface {
	*T
	UnmarshalText([]byte) error
}](t testing.TB, text string) T {
	t.Helper()
	var v T
	if err := P(&v).UnmarshalText([]byte(text)); err != nil {
		t.Fatalf("parse %q: %v", text, err)
	}
	return v
}

// Faults returns the fields that a configuration's own rules refuse.
func Faults(c interface {
	Validate(report func(field, want, got string))
}) []string {
	var fields []string
	c.Validate(func(field, _, _ string) { fields = append(fields, field) })
	return fields
}

// Buffer is a bytes.Buffer that many may write to.
type Buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write appends p.
func (s *Buffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

// String returns what was written.
func (s *Buffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
