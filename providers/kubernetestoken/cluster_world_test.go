//go:build e2e && kubernetes

package kubernetestoken_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"mintmark/broker/bundle"
	"mintmark/internal/fault"
	"mintmark/internal/testenv"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
	"mintmark/providers/kubernetestoken"
)

// cluster has a broker in a pod that may create tokens of the account orders.
type cluster struct {
	*testenv.KubernetesServer

	token string // path of the broker's own
}

// hold makes token the broker's own.
func (c cluster) hold(t *testing.T, token string) {
	t.Helper()
	if err := os.WriteFile(c.token, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (c cluster) config(t *testing.T) kubernetestoken.Config {
	t.Helper()
	return kubernetestoken.Config{
		Address: providertest.URL(t, c.Addr), CA: bundle.Path(c.CA), Namespace: "shop", ServiceAccount: "orders",
		Auth: kubernetestoken.Auth{Token: providertest.Parse[bundle.Ref](t, "file:"+c.token)},
	}
}

// minted leases a token, and demands that it ends when the server says.
func (c cluster) minted(t *testing.T, config kubernetestoken.Config, life time.Duration) string {
	t.Helper()
	r := providertest.One(t, open(t, config, providers.Env{}))
	defer r.Stop(t)
	leased, _ := r.Must(t, providers.Request{})
	token := r.Reveal(t, leased).Token()
	got := claims(t, token)
	if signed := got.Expiry.Time().Sub(got.IssuedAt.Time()); signed != life {
		t.Errorf("life: got %v, want %v", signed, life)
	}
	// The server takes the time once for its answer and a little later for the token.
	if late := got.Expiry.Time().Sub(leased.NotAfter()); late < 0 || late > 10*time.Second {
		t.Errorf("end: got %v for a token until %v", leased.NotAfter(), got.Expiry.Time())
	}
	if want := []string{"system:serviceaccount:shop:" + config.ServiceAccount}; !slices.Equal(leased.Scopes(), want) {
		t.Errorf("scopes: got %v, want %v", leased.Scopes(), want)
	}
	return token
}

func claims(t *testing.T, token string) jwt.Claims {
	t.Helper()
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatalf("parse token: %v", err)
	}
	var c jwt.Claims
	if err := parsed.UnsafeClaimsWithoutVerification(&c); err != nil {
		t.Fatalf("parse token: %v", err)
	}
	return c
}

func parts(t *testing.T, token string) (head, payload, signature string) {
	t.Helper()
	p := strings.Split(token, ".")
	if len(p) != 3 {
		t.Fatalf("got a token of %d parts, want 3", len(p))
	}
	return p[0], p[1], p[2]
}

// changed changes a letter whose bits all count.
func changed(part string) string {
	middle, letter := len(part)/2, "A"
	if part[middle] == 'A' {
		letter = "B"
	}
	return part[:middle] + letter + part[middle+1:]
}

// whoAmI asks the API server who shows token.
func (c cluster) whoAmI(t *testing.T, token string, user *string) int {
	t.Helper()
	var answer struct {
		Status struct {
			UserInfo struct {
				Username string `json:"username"`
			} `json:"userInfo"`
		} `json:"status"`
	}
	status := c.As(t, token, "/apis/authentication.k8s.io/v1/selfsubjectreviews", map[string]any{}, &answer)
	if user != nil {
		*user = answer.Status.UserInfo.Username
	}
	return status
}

func named(name string) map[string]any {
	return map[string]any{"metadata": map[string]any{"name": name}}
}

// awaitEnd waits until the server refuses token.
func (c cluster) awaitEnd(t *testing.T, what, token string) {
	t.Helper()
	await(t, what, func() bool { return !c.Review(t, token, "vault").Authenticated })
}

// await waits for what ends a token: the server remembers for 10 s whom it has
// let in.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: the token is good after its end", what)
		}
	}
}

// refused demands that a mint fails and that the operator reads cause.
func (c cluster) refused(t *testing.T, config kubernetestoken.Config, cause string) {
	t.Helper()
	shown, err := config.Auth.Token.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	r := providertest.One(t, open(t, config, providers.Env{}), shown)
	defer r.Stop(t)
	if hint := r.Refused(t, providers.Request{}, fault.Internal); hint != "the credential provider refused the broker" {
		t.Errorf("hint: got %q", hint)
	}
	if got := r.Records(t)[0].Reason; !strings.Contains(got, cause) {
		t.Errorf("record: got reason %q, want one with %q", got, cause)
	}
}
