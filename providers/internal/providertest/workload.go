package providertest

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"mintmark/internal/trustdomain"
)

// Workload is a broker's identity in a trust domain, whose JWT-SVIDs can be verified.
type Workload struct {
	NoX509SVID

	Domain  *trustdomain.Domain
	Request trustdomain.JWTRequest // what they are like
	shown   string                 // in place of new ones
}

// ID is its SPIFFE ID.
func (w Workload) ID() spiffeid.ID { return w.Domain.ID("mintmark") }

// JWTSVID returns one as Request says, for audience if it says none.
func (w Workload) JWTSVID(_ context.Context, audience string) (string, error) {
	if w.shown != "" {
		return w.shown, nil
	}
	if w.Request.Audience == nil {
		w.Request.Audience = []string{audience}
	}
	return w.Domain.JWTSVID(w.ID(), w.Request)
}

// Again returns the workload with one JWT-SVID for audience, which it shows each time.
func (w Workload) Again(t testing.TB, audience string) Workload {
	t.Helper()
	svid, err := w.JWTSVID(t.Context(), audience)
	if err != nil {
		t.Fatal(err)
	}
	w.shown = svid
	return w
}

// Keys returns the public keys of a trust domain's JWT-SVIDs.
func Keys(d *trustdomain.Domain) []jose.JSONWebKey {
	keys := []jose.JSONWebKey{}
	for id, key := range d.Bundle().JWTAuthorities() {
		keys = append(keys, jose.JSONWebKey{Key: key, KeyID: id, Algorithm: string(jose.ES256), Use: "sig"})
	}
	return keys
}

// JWKs returns Keys in JSON, as a list.
func JWKs(t testing.TB, d *trustdomain.Domain) string {
	t.Helper()
	text, err := json.Marshal(Keys(d))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
