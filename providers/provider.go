// Package providers leases credentials: it keeps the ones it holds, mints one
// where none is valid, and gives them up only against the record of their use.
package providers

import (
	"context"
	"crypto"
	"log/slog"
	"time"

	"mintmark/attest"
	"mintmark/internal/fault"
)

// Request is what a mint may depend on.
type Request struct {
	// Agent is who asks. A Provider sees it only where each agent has its own
	// credential; a shared one cannot depend on who asked first.
	Agent attest.Identity
}

// Provider mints credentials of one registration. With an error Mint returns no
// credential, unless its system issued one that must not be used: nobody gets that,
// and the Pool records it and has it revoked. The error is a *fault.Error whose Hint
// is safe for the agent and whose cause holds no secret. Caching, single flight, expiry and the
// records belong to the Pool, so that a provider stays one short file. It is
// safe for concurrent use.
type Provider interface {
	Mint(ctx context.Context, req Request) (Credential, error)
}

// AgentBound is a Provider whose credentials name the agent. The Pool then
// keeps one for each agent, whatever the registration says.
type AgentBound interface {
	PerAgent() bool
}

// Held is an issued credential as its own system knows it.
type Held struct {
	// Lease is the system's handle, or "".
	Lease string
	// Opened is what the credential is made of; empty where only the record of it is left,
	// after a crash, as what has a Lease is not kept in escrow.
	Opened Opened
}

// Revoker is a Provider whose system can end a credential before its expiry.
// The Pool asserts it once, when it is built, and asks it only for credentials
// that have a Lease, or whose Terms say that they are Revocable without one.
type Revoker interface {
	Revoke(ctx context.Context, h Held) error
}

// Issuing is a Revoker that says whose its credentials are. Issuer names the system, such as by its URL:
// what was kept in escrow is shown to the one that issued it, and not to another that is
// registered by the name since. Of one that is not Issuing, or returns "", nothing is kept.
type Issuing interface {
	Issuer() string
}

// Reserved is a Revoker whose system may offer no revocation: ever is whether it can
// be told to end a credential at all, and sure whether that is known before it is
// asked.
type Reserved interface {
	Revokes() (ever, sure bool)
}

// Keeper is a Provider that makes nothing: it reads what somebody has stored, which
// lives on whatever its Terms say.
type Keeper interface {
	Kept() bool
}

// ErrNotRenewable is what Renew returns of a credential that its system does not
// prolong, or no further: no failure, so that none goes on record. The Pool mints a
// successor ahead of time and does not ask again.
var ErrNotRenewable error = fault.New("renew", fault.Internal, "the issuing system does not prolong this credential")

// Renewer is a Provider whose system can prolong a credential that it issued.
// Renew returns the terms that hold from now on, of the same credential: with another Lease
// it is known by that alone, unless the Pool can't use the answer, and ends both; or
// ErrNotRenewable, as it is or as the cause of a fault, where that can't be.
type Renewer interface {
	Renew(ctx context.Context, h Held) (Terms, error)
}

// AllRevoker is a Provider whose system can end everything that was ever made as it is
// registered, by whoever asked for it: for the operator who has lost the records.
// It returns an error where each agent's is another registration there.
type AllRevoker interface {
	RevokeAll(ctx context.Context) error
}

// IdentitySource gives the broker's own identity documents, so that a provider
// logs in to its system without a stored secret.
type IdentitySource interface {
	// JWTSVID returns a JWT-SVID of the broker for exactly the given audience.
	JWTSVID(ctx context.Context, audience string) (string, error)
	// X509SVID returns the broker's X.509-SVID that is valid now, in DER and leaf
	// first, and its key. The chain is shared: the caller does not write to it.
	X509SVID(ctx context.Context) (chain [][]byte, key crypto.Signer, err error)
}

// Env is what the broker gives to each provider that it opens.
type Env struct {
	// Self is the broker's own identity, or nil where it has none.
	Self IdentitySource
	// Clock tells the time; nil means time.Now.
	Clock func() time.Time
	// Logger receives what an operator should know and no call fails of; nil: nobody.
	Logger *slog.Logger
}

// Log returns where to log; it is never nil.
func (e Env) Log() *slog.Logger {
	if e.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return e.Logger
}

// Now returns the time that a provider reckons expiry by.
func (e Env) Now() time.Time {
	if e.Clock == nil {
		return time.Now()
	}
	return e.Clock()
}
