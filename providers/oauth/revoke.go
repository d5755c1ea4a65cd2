package oauth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-json-experiment/json"
	"golang.org/x/oauth2"

	"mintmark/internal/fault"
	"mintmark/providers"
)

// Revokes says what the registration knows: a server with metadata tells of its
// revocation endpoint there.
func (p *provider) Revokes() (ever, sure bool) {
	if p.config.NoRevocation {
		return false, true
	}
	fixed := p.config.TokenURL.URL != nil
	return !fixed || p.config.RevocationURL.URL != nil, fixed
}

// Issuer says whose the tokens are, by whoever says where they are revoked: the issuer, the
// endpoints where an operator named these, or the resource whose metadata names the issuer.
// See providers.Issuing.
func (p *provider) Issuer() string {
	if token := p.config.TokenURL.String(); token != "" {
		return "token_url " + token + ", revocation_url " + p.config.RevocationURL.String()
	}
	return cmp.Or(p.config.Issuer.String(), p.config.Resource)
}

// Revoke ends a token by RFC 7009. It returns an error where the token itself is
// no longer known, since the server has no other name for it.
func (p *provider) Revoke(ctx context.Context, h providers.Held) error {
	token := h.Opened.Token()
	if token == "" {
		return fault.New("revoke", fault.Internal, "the token is not known any more: it ends by itself")
	}
	at, err := p.server.where.find(ctx)
	if err != nil {
		return err
	}
	if at.revocation == "" {
		return fault.New("revoke", fault.Internal, server+" has no revocation endpoint any more")
	}
	return p.server.revoke(ctx, at, token)
}

// revoke ends a token. An error names the endpoint.
func (a *authority) revoke(ctx context.Context, at endpoints, token string) error {
	return at.asked(at.revocation, a.revokeOnce(ctx, at, token))
}

func (a *authority) revokeOnce(ctx context.Context, at endpoints, token string) error {
	shown, err := a.account.login(ctx, at, a.env)
	if err != nil {
		return err
	}
	params := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	maps.Copy(params, shown.params)
	if shown.style == oauth2.AuthStyleInParams {
		set(params, "client_id", shown.id)
		set(params, "client_secret", shown.secret)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, at.revocation, strings.NewReader(params.Encode()))
	if err != nil {
		return fault.New("revoke", fault.Internal, server+" has no usable revocation endpoint")
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if shown.style == oauth2.AuthStyleInHeader {
		r.SetBasicAuth(url.QueryEscape(shown.id), url.QueryEscape(shown.secret))
	}
	answer, err := a.showing(shown).Do(r)
	if err != nil {
		return providers.Unreachable(server, err)
	}
	defer answer.Body.Close()
	var said struct {
		Error string `json:"error"`
	}
	_ = json.UnmarshalRead(answer.Body, &said) // what is no JSON has no error
	if said.Error == "unsupported_token_type" {
		a.irrevocable.Store(true)
		return fault.Wrap("revoke", fault.Internal, server+" does not revoke tokens of this kind: they end by themselves", errors.New("revocation endpoint answered with unsupported_token_type: set no_revocation"))
	}
	if answer.StatusCode == http.StatusOK && said.Error == "" { // also for a token that it does not know: section 2.2
		return nil
	}
	kind := fault.Internal
	if answer.StatusCode >= 500 || answer.StatusCode == http.StatusTooManyRequests {
		kind = fault.Unavailable
	}
	return fault.Wrap("revoke", kind, server+" did not revoke the token", fmt.Errorf("revocation endpoint answered with status %d and %s", answer.StatusCode, meaning(said.Error)))
}

func set(v url.Values, name, value string) {
	if value != "" {
		v.Set(name, value)
	}
}
