//go:build e2e

package oauth_test

import (
	"encoding/json"
	"strings"
	"testing"

	"mintmark/internal/testenv"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
	"mintmark/providers/oauth"
)

// With assertion_type jwt-bearer the SVID has to keep to RFC 7523 and to the server's
// own rules: this one wants iss to be the client and a jti. SPIRE gives neither.
func TestJWTSVIDByRFC7523(t *testing.T) {
	t.Parallel()
	spire := testenv.SPIRE(t, testenv.SPIREOptions{})
	spire.Register(t, brokerID)
	key := newKey(t)
	for name, tt := range map[string]struct {
		source providers.IdentitySource
		keys   []byte // of the client
		why    string // of the refusal; "" for none
	}{
		"SPIRE's":                             {newRealSelf(t, spire), spire.JWKS(t), "unique jti (JWT ID) must be provided in the client_assertion JWT"},
		"one of another iss":                  {self{key: key.key}, keySet(key), "iss (JWT issuer) must be the client_id"},
		"one of the client, with iss and jti": {self{key: key.key, issuer: brokerID}, keySet(key), ""},
	} {
		client, err := json.Marshal([]map[string]any{{"client_id": brokerID, "token_endpoint_auth_method": "private_key_jwt", "jwks": json.RawMessage(tt.keys)}})
		if err != nil {
			t.Fatal(err)
		}
		s := testenv.OAuth(t, testenv.OAuthOptions{Clients: string(client)})
		c := withSVID(t, s)
		c.AssertionType = "jwt-bearer"
		leased, err := open(t, c, providers.Env{Self: tt.source}).Mint(t.Context(), providers.Request{})
		providertest.CheckAnswer(t, leased, err, "")
		if got := s.Refusal(t); got != tt.why || (err == nil) != (tt.why == "") {
			t.Errorf("%s: got %v and refusal %q, want %q", name, err, got, tt.why)
		}
	}
}

// A SVID is shown until half of its life is over, so that a server that takes a jti
// once refuses it the second time: such a server is of no use with jwt_svid.
func TestJWTSVIDWithAJTIIsTakenOnce(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	client, err := json.Marshal([]map[string]any{{"client_id": brokerID, "token_endpoint_auth_method": "private_key_jwt", "jwks": json.RawMessage(keySet(key))}})
	if err != nil {
		t.Fatal(err)
	}
	s := testenv.OAuth(t, testenv.OAuthOptions{Clients: string(client)})
	svid, err := self{key: key.key, issuer: brokerID}.JWTSVID(t.Context(), s.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	c := withSVID(t, s)
	c.AssertionType = "jwt-bearer"
	p := open(t, c, providers.Env{Self: stale{svid: svid}})
	if _, err := p.Mint(t.Context(), providers.Request{}); err != nil {
		t.Fatalf("first: got %v", err)
	}
	leased, err := p.Mint(t.Context(), providers.Request{})
	providertest.CheckAnswer(t, leased, err, svid)
	if err == nil || s.Refusal(t) != "client assertion tokens must only be used once" {
		t.Errorf("second: got %v and refusal %q, want it refused", err, s.Refusal(t))
	}
}

// keySet returns the public key of k as a server is told it.
func keySet(k keyPair) []byte { return []byte(`{"keys":` + k.public + `}`) }

// The same at Hydra, whose rules are those of RFC 7523 too.
func TestJWTSVIDByRFC7523AtHydra(t *testing.T) {
	t.Parallel()
	spire, h, key := testenv.SPIRE(t, testenv.SPIREOptions{}), testenv.Hydra(t), newKey(t)
	spire.Register(t, brokerID)
	var both struct {
		Keys []json.RawMessage `json:"keys"`
	}
	for _, set := range [][]byte{keySet(key), spire.JWKS(t)} { // in this order: it takes the first for a JWT without kid
		var one struct {
			Keys []json.RawMessage `json:"keys"`
		}
		if err := json.Unmarshal(set, &one); err != nil {
			t.Fatal(err)
		}
		both.Keys = append(both.Keys, one.Keys...)
	}
	keys, err := json.Marshal(both)
	if err != nil {
		t.Fatal(err)
	}
	h.Register(t, testenv.HydraClient{
		ID: brokerID, AuthMethod: "private_key_jwt", SigningAlg: "ES256", JWKS: keys,
		GrantTypes: []string{"client_credentials"}, Scope: "read", Audience: []string{},
	})
	seen := 0
	for name, tt := range map[string]struct {
		source providers.IdentitySource
		taken  bool
	}{
		"SPIRE's":                             {newRealSelf(t, spire), false},
		"one of another iss":                  {self{key: key.key}, false},
		"one of the client, with iss and jti": {self{key: key.key, issuer: brokerID}, true},
	} {
		c := oauth.Config{Issuer: providertest.URL(t, h.Issuer), AuthStyle: "jwt_svid", AssertionType: "jwt-bearer", AssertionAudience: h.TokenURL, Scopes: []string{"read"}}
		leased, err := open(t, c, providers.Env{Self: tt.source}).Mint(t.Context(), providers.Request{})
		providertest.CheckAnswer(t, leased, err, "")
		if (err == nil) != tt.taken {
			t.Errorf("%s: got %v, want it taken: %t", name, err, tt.taken)
		}
		const why = "Claim 'iss' from 'client_assertion' must match the 'client_id' of the OAuth 2.0 Client"
		before := seen
		if seen = strings.Count(h.Log(), why); (seen > before) == tt.taken {
			t.Errorf("%s: got %d refusals of iss and %d before, want one more where it is not taken", name, seen, before)
		}
	}
}
