package oauth

import (
	"net/url"
	"testing"

	"golang.org/x/oauth2"
)

// Whatever a request shows is looked for, and what is too short for that, or not in the
// scope, refuses nothing.
func TestWhatARequestShowsIsNoScope(t *testing.T) {
	const shown = "canary-7f3b19"
	for _, name := range []string{"client_assertion", "assertion", "subject_token", "actor_token", "refresh_token", "code", "code_verifier"} {
		for scope, refused := range map[string]bool{"read " + shown: true, "read=" + shown + ";": true, "read canary": false, "": false} {
			token := (&oauth2.Token{AccessToken: "tttttttt-1"}).WithExtra(map[string]any{"scope": scope, "expires_in": 60.0})
			got, err := unechoed(token, url.Values{name: {shown}}, "")
			if kept, _ := got.Extra("scope").(string); (err != nil) != refused || refused == (kept == scope) {
				t.Errorf("%s in the scope %q: got the scope %q and %v, want it refused: %t", name, scope, kept, err, refused)
			}
			if got.AccessToken != "tttttttt-1" || got.Extra("expires_in") != 60.0 {
				t.Errorf("%s: got %+v, want what is to be revoked", name, got)
			}
		}
	}
	token := (&oauth2.Token{AccessToken: "tttttttt-1"}).WithExtra(map[string]any{"scope": "read write"})
	if _, err := unechoed(token, url.Values{"code": {"read"}}, "write"); err != nil {
		t.Errorf("got %v, want a secret as short as a word passed over", err)
	}
}
