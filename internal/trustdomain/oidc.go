package trustdomain

import (
	"encoding/json"
	"net/http"

	"github.com/go-jose/go-jose/v4"
)

// Handler serves what a relying party that speaks OpenID Connect needs to
// verify JWT-SVIDs: /.well-known/openid-configuration and /keys. It is what
// SPIRE's OIDC discovery provider does. Options.Issuer must be the URL at which
// it is reached.
func (d *Domain) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, d.discovery())
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, d.keys())
	})
	return mux
}

func (d *Domain) discovery() map[string]any {
	return map[string]any{
		"issuer":                                d.options.Issuer,
		"jwks_uri":                              d.options.Issuer + "/keys",
		"authorization_endpoint":                "",
		"response_types_supported":              []string{"id_token"},
		"subject_types_supported":               []string{"public"},
		"id_token_signing_alg_values_supported": []string{string(jose.ES256)},
	}
}

// keys returns the JWT authorities as a plain JWK set, without the SPIFFE use
// that OpenID Connect does not know.
func (d *Domain) keys() jose.JSONWebKeySet {
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for id, key := range d.Bundle().JWTAuthorities() {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: key, KeyID: id, Algorithm: string(jose.ES256), Use: "sig"})
	}
	return set
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the reader is gone: nobody to tell
}
