package demo

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/modelcontextprotocol/go-sdk/auth"
)

// tokenLife is how long the issuer's tokens live.
const tokenLife = time.Minute

// issuer is a small OAuth authorization server: the client credentials grant
// with a resource indicator, answered with a JWT.
type issuer struct {
	secret   string
	audience string
	key      *ecdsa.PrivateKey
	signer   jose.Signer

	mu     sync.Mutex
	issued []string // every token, to look for afterwards
}

func newIssuer(audience string) (*issuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, nil)
	if err != nil {
		return nil, err
	}
	return &issuer{secret: randomHex(), audience: audience, key: key, signer: signer}, nil
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id, secret, _ := r.BasicAuth()
	known := subtle.ConstantTimeCompare([]byte(secret), []byte(i.secret)) == 1 && id == "mintmark"
	switch {
	case r.Method != http.MethodPost || r.URL.Path != "/token":
		http.NotFound(w, r)
	case !known:
		answer(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
	case r.PostFormValue("grant_type") != "client_credentials" || r.PostFormValue("resource") != i.audience:
		answer(w, http.StatusBadRequest, map[string]any{"error": "invalid_request"})
	default:
		token, err := i.issue(r.PostFormValue("scope"))
		if err != nil {
			answer(w, http.StatusInternalServerError, map[string]any{"error": "server_error"})
			return
		}
		answer(w, http.StatusOK, map[string]any{
			"access_token": token, "token_type": "Bearer", "expires_in": int(tokenLife / time.Second), "scope": r.PostFormValue("scope")})
	}
}

func answer(w http.ResponseWriter, status int, body map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

type tokenClaims struct {
	jwt.Claims
	Scope string `json:"scope"`
}

func (i *issuer) issue(scope string) (string, error) {
	now := time.Now()
	token, err := jwt.Signed(i.signer).Claims(tokenClaims{
		Claims: jwt.Claims{
			Issuer: "demo", Subject: "mintmark", Audience: jwt.Audience{i.audience}, ID: randomHex(),
			IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(tokenLife)),
		},
		Scope: scope,
	}).Serialize()
	if err != nil {
		return "", err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.issued = append(i.issued, token)
	return token, nil
}

// verify is the upstream's check of a token.
func (i *issuer) verify(_ context.Context, token string, _ *http.Request) (*auth.TokenInfo, error) {
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return nil, errors.Join(auth.ErrInvalidToken, err)
	}
	var claims tokenClaims
	if err := parsed.Claims(&i.key.PublicKey, &claims); err != nil {
		return nil, errors.Join(auth.ErrInvalidToken, err)
	}
	if err := claims.ValidateWithLeeway(jwt.Expected{AnyAudience: jwt.Audience{i.audience}, Time: time.Now()}, 0); err != nil {
		return nil, errors.Join(auth.ErrInvalidToken, err)
	}
	return &auth.TokenInfo{Scopes: []string{claims.Scope}, Expiration: claims.Expiry.Time()}, nil
}

// secrets returns everything the issuer must not see again outside.
func (i *issuer) secrets() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return append([]string{i.secret}, i.issued...)
}

func randomHex() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
