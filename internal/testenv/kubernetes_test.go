//go:build e2e && kubernetes

package testenv_test

import (
	"net/http"
	"strings"
	"testing"

	"mintmark/internal/testenv"
)

func TestClusterReviewsItsOwnTokens(t *testing.T) {
	k := testenv.Kubernetes(t)
	k.Namespace(t, "shop", "orders")
	if uid := k.Pod(t, "shop", "orders-0", "orders"); uid == "" {
		t.Error("got a pod without a UID")
	}
	token := k.PodToken(t, "shop", "orders", "orders-0", "vault")
	const user = "system:serviceaccount:shop:orders"
	if got := k.Review(t, token, "vault"); !got.Authenticated || got.User.Username != user {
		t.Errorf("review: got %+v, want %s", got, user)
	}
	if got := k.Review(t, token[:len(token)/2], "vault"); got.Authenticated || got.Error == "" || strings.Contains(got.Error, token) {
		t.Errorf("review of half a token: got %+v", got)
	}
	if status := k.As(t, token, "/apis/authentication.k8s.io/v1/selfsubjectreviews", map[string]any{}, &struct{}{}); status != http.StatusUnauthorized {
		t.Errorf("a token for vault at the API server: got status %d, want 401", status)
	}
	k.Delete(t, "/api/v1/namespaces/shop/pods/orders-0")
}
