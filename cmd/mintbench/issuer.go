package main

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
)

// issuer is an OAuth token endpoint for the client credentials grant. It
// counts what it mints: the record must know of each.
type issuer struct {
	secret string // of every client
	bearer string // what every token begins with, which the upstream demands

	mu    sync.Mutex
	mints map[string]int // by client
}

func newIssuer(bearer string) *issuer {
	return &issuer{secret: randomHex(), bearer: bearer, mints: map[string]int{}}
}

// ServeHTTP mints one token.
func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	client, secret, _ := r.BasicAuth()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if r.Method != http.MethodPost || r.FormValue("grant_type") != "client_credentials" ||
		subtle.ConstantTimeCompare([]byte(secret), []byte(i.secret)) != 1 {
		w.WriteHeader(http.StatusUnauthorized)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": "invalid_client"})
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{
		"access_token": fmt.Sprintf("%s.%s.%d", i.bearer, client, i.count(client)), "token_type": "Bearer", "expires_in": 7200,
	})
}

func (i *issuer) count(client string) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.mints[client]++
	return i.mints[client]
}

// minted returns how many tokens each client of Mintmark's got.
func (i *issuer) minted() map[string]int {
	i.mu.Lock()
	defer i.mu.Unlock()
	mints := maps.Clone(i.mints)
	maps.DeleteFunc(mints, func(client string, _ int) bool { return strings.HasPrefix(client, tripPrefix) })
	return mints
}

func randomHex() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // documented never to fail
	return hex.EncodeToString(b[:])
}
