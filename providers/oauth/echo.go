package oauth

import (
	"errors"
	"net/url"
	"strings"

	"golang.org/x/oauth2"

	"mintmark/internal/fault"
)

// minEcho is the shortest secret that is looked for: a shorter one is found by chance.
const minEcho = 8

// unechoed returns token, and, where its scope has a secret in it that was shown for it or is to
// be shown for the next one, without the scope and with an error. Scopes are recorded. That the
// token itself is among them is the Pool's finding.
func unechoed(token *oauth2.Token, sent url.Values, clientSecret string) (*oauth2.Token, error) {
	scope, _ := token.Extra("scope").(string)
	secrets := []string{clientSecret, token.RefreshToken}
	for _, name := range [...]string{"client_assertion", "assertion", "subject_token", "actor_token", "refresh_token", "code", "code_verifier"} {
		secrets = append(secrets, sent.Get(name))
	}
	for _, secret := range secrets {
		if len(secret) >= minEcho && strings.Contains(scope, secret) {
			return token.WithExtra(map[string]any{"expires_in": token.Extra("expires_in")}),
				fault.Wrap("lease", fault.Internal, server+" put a secret that it was shown, or gave for later, into the token's scope",
					errors.New("expected names of scopes: is it a token endpoint that answers there?"))
		}
	}
	return token, nil
}
