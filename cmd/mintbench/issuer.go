package main

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// secretVariable is the environment variable with the secret of the issuer's clients.
const secretVariable = "MINTBENCH_CLIENT_SECRET"

// The paths of the issuer.
const (
	tokenPath = "/token"
	mintsPath = "/mints" // how many tokens each client got
)

// issuer is an OAuth token endpoint for the client credentials grant. It
// counts what it mints: the record must know of each.
type issuer struct {
	secret string // of every client
	bearer string // what every token begins with, which the upstream demands

	mu    sync.Mutex
	mints map[string]int // by client
}

func newIssuer(bearer, secret string) *issuer {
	return &issuer{secret: secret, bearer: bearer, mints: map[string]int{}}
}

// serveIssuer is a process of its own, as providers are: what wakes it is part of a
// round trip.
func serveIssuer(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return errors.New("want one address to listen at")
	}
	l, err := listenAt(ctx, args[0])
	if err != nil {
		return err
	}
	server := &http.Server{Handler: newIssuer(os.Getenv(bearerVariable), os.Getenv(secretVariable)), ReadHeaderTimeout: 5 * time.Second}
	if err := server.Serve(l); ctx.Err() == nil {
		return err
	}
	return nil
}

// ServeHTTP mints one token, or says how many it minted.
func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	client, secret, _ := r.BasicAuth()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if r.URL.Path == mintsPath {
		_ = json.NewEncoder(w).Encode(i.minted())
		return
	}
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

// minted asks the issuer how many tokens each client of Mintmark's got.
func (w *world) minted(ctx context.Context) (map[string]int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.issuer+mintsPath, http.NoBody)
	if err != nil {
		return nil, err
	}
	answer, err := (&http.Client{Timeout: 5 * time.Second}).Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask the token endpoint what it minted: %w", err)
	}
	defer answer.Body.Close()
	var mints map[string]int
	if err := json.NewDecoder(answer.Body).Decode(&mints); err != nil {
		return nil, fmt.Errorf("ask the token endpoint what it minted: %w", err)
	}
	return mints, nil
}

func randomHex() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // documented never to fail
	return hex.EncodeToString(b[:])
}
