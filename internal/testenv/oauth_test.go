//go:build e2e

package testenv_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"mintmark/internal/testenv"
)

func TestOAuthGivesTokens(t *testing.T) {
	t.Parallel()
	server := testenv.OAuth(t, testenv.OAuthOptions{TTL: 30 * time.Second})
	for name, style := range map[string]oauth2.AuthStyle{"basic": oauth2.AuthStyleInHeader, "post": oauth2.AuthStyleInParams} {
		token, err := request(t.Context(), server, style)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		left := time.Until(token.Expiry)
		if dots := strings.Count(token.AccessToken, "."); dots != 2 || left > 30*time.Second {
			t.Errorf("%s: got %d dots for %s, want a JWT for at most 30 s", name, dots, left)
		}
	}
}

func TestOAuthFaults(t *testing.T) {
	t.Parallel()
	server := testenv.OAuth(t, testenv.OAuthOptions{})

	server.Fail(t, http.StatusInternalServerError)
	var refused *oauth2.RetrieveError
	if _, err := request(t.Context(), server, oauth2.AuthStyleInHeader); !errors.As(err, &refused) || refused.Response.StatusCode != 500 {
		t.Errorf("after Fail: got %v, want status 500", err)
	}

	server.Stall(t)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := request(ctx, server, oauth2.AuthStyleInHeader); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("after Stall: got %v, want a time-out", err)
	}

	server.Heal(t)
	if _, err := request(t.Context(), server, oauth2.AuthStyleInHeader); err != nil {
		t.Errorf("after Heal: %v", err)
	}
	if got := server.Requests(t); got != 3 {
		t.Errorf("requests: got %d, want 3", got)
	}
}

func request(ctx context.Context, server *testenv.OAuthServer, style oauth2.AuthStyle) (*oauth2.Token, error) {
	config := clientcredentials.Config{
		ClientID:       server.ClientID,
		ClientSecret:   server.ClientSecret,
		TokenURL:       server.TokenURL,
		Scopes:         server.Scopes,
		EndpointParams: url.Values{"resource": {server.Resource}},
		AuthStyle:      style,
	}
	return config.Token(ctx)
}
