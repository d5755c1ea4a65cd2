//go:build e2e && kubernetes

package kubernetestoken_test

import (
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mintmark/internal/testenv"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
	"mintmark/providers/kubernetestoken"
)

const (
	brokerUser = "system:serviceaccount:shop:mintmark"
	ordersUser = "system:serviceaccount:shop:orders"
)

func TestCluster(t *testing.T) {
	c := cluster{testenv.Kubernetes(t), filepath.Join(t.TempDir(), "token")}
	c.Namespace(t, "shop", "mintmark", "orders", "other", "leaving")
	c.Pod(t, "shop", "mintmark-0", "mintmark")
	c.Pod(t, "shop", "orders-0", "orders")
	for _, account := range []string{"orders", "leaving", "absent"} {
		c.AllowTokens(t, "shop", account, brokerUser)
	}
	c.hold(t, c.PodToken(t, "shop", "mintmark", "mintmark-0", c.Audience))
	for name, test := range map[string]func(*testing.T, cluster){
		"a token is good for its audiences alone":        testAudiences,
		"a token without audiences is for the cluster":   testOwnAudience,
		"the server shortens a life":                     testShortened,
		"a token for 1h0m7s lasts a year":                testLifeOfAYear,
		"a token ends with its object":                   testBoundObjects,
		"a token ends with its service account":          testDeletedAccount,
		"refusals name their cause":                      testRefusals,
		"the API server is known by the configured CA":   testCA,
		"the broker shows its X.509-SVID":                testCertificate,
		"the broker shows its JWT-SVID":                  testJWT,
		"the broker's own token is read at each request": testRotatedToken,
	} {
		t.Run(name, func(t *testing.T) { test(t, c) })
	}
}

func testAudiences(t *testing.T, c cluster) {
	config := c.config(t)
	config.Audiences, config.TTL.Duration = []string{"vault", "billing"}, 10*time.Minute
	token := c.minted(t, config, 10*time.Minute)
	for _, audience := range config.Audiences {
		if got := c.Review(t, token, audience); !got.Authenticated || got.User.Username != ordersUser || !slices.Equal(got.Audiences, []string{audience}) {
			t.Errorf("review for %s: got %+v, want %s", audience, got, ordersUser)
		}
	}
	head, payload, signature := parts(t, token)
	forged := map[string][2]string{
		"another audience":        {token, "other"},
		"the API server's":        {token, c.Audience},
		"a changed signature":     {head + "." + payload + "." + changed(signature), "vault"},
		"a changed payload":       {head + "." + changed(payload) + "." + signature, "vault"},
		"no signature":            {head + "." + payload + ".", "vault"},
		"a signature of no other": {token + token, "vault"},
	}
	for name, f := range forged {
		if got := c.Review(t, f[0], f[1]); got.Authenticated {
			t.Errorf("review with %s: got %+v, want it refused", name, got)
		}
	}
	if status := c.whoAmI(t, token, nil); status != http.StatusUnauthorized {
		t.Errorf("at the API server: got status %d, want 401", status)
	}
}

func testOwnAudience(t *testing.T, c cluster) {
	token := c.minted(t, c.config(t), time.Hour)
	var user string
	if status := c.whoAmI(t, token, &user); status != http.StatusCreated || user != ordersUser {
		t.Errorf("at the API server: got status %d and %q, want %s", status, user, ordersUser)
	}
	if got := c.Review(t, token, "vault"); got.Authenticated {
		t.Errorf("review for vault: got %+v, want it refused", got)
	}
}

func testShortened(t *testing.T, c cluster) {
	config := c.config(t)
	config.TTL.Duration = testenv.KubernetesMaxLife + time.Hour
	c.minted(t, config, testenv.KubernetesMaxLife)
}

func testBoundObjects(t *testing.T, c cluster) {
	objects := map[string]struct{ uid, path string }{
		"Pod":    {c.Pod(t, "shop", "ending", "orders"), "/api/v1/namespaces/shop/pods/ending"},
		"Secret": {c.Create(t, "/api/v1/namespaces/shop/secrets", named("ending")), "/api/v1/namespaces/shop/secrets/ending"},
		"Node":   {c.Create(t, "/api/v1/nodes", named("ending")), "/api/v1/nodes/ending"},
	}
	tokens := map[string]string{}
	for kind, object := range objects {
		config := c.config(t)
		config.Audiences = []string{"vault"}
		config.BoundObject = &kubernetestoken.BoundObject{Kind: kind, Name: "ending", UID: object.uid}
		tokens[kind] = c.minted(t, config, time.Hour)
		got := c.Review(t, tokens[kind], "vault")
		if !got.Authenticated {
			t.Errorf("%s: got %+v, want it authenticated", kind, got)
		}
		if uid := got.User.Extra["authentication.kubernetes.io/pod-uid"]; kind == "Pod" && !slices.Equal(uid, []string{object.uid}) {
			t.Errorf("pod: got a token of %v, want %s", uid, object.uid)
		}
	}
	for _, object := range objects {
		c.Delete(t, object.path)
	}
	for kind, token := range tokens {
		c.awaitEnd(t, kind, token)
	}
}

// For this life alone the server signs another end than it answers with, which is
// why a configuration can't ask for it.
func testLifeOfAYear(t *testing.T, c cluster) {
	config := c.config(t)
	config.TTL.Duration, config.BoundObject = time.Hour+7*time.Second, &kubernetestoken.BoundObject{Kind: "Pod", Name: "orders-0"}
	if got := providertest.Faults(config); !slices.Equal(got, []string{"ttl"}) {
		t.Errorf("config: got faults %v, want ttl", got)
	}
	p, err := kubernetestoken.Open(config, providers.Env{})
	if err != nil {
		t.Fatal(err)
	}
	r := providertest.One(t, p)
	defer r.Stop(t)
	leased, _ := r.Must(t, providers.Request{})
	end := claims(t, r.Reveal(t, leased).Token()).Expiry.Time()
	if days := time.Until(end) / (24 * time.Hour); days < 360 || time.Until(leased.NotAfter()) > config.TTL.Duration {
		t.Errorf("got a token for %d days, said to end %v: the rule on ttl is without a reason", days, leased.NotAfter())
	}
}

func testDeletedAccount(t *testing.T, c cluster) {
	config := c.config(t)
	config.ServiceAccount, config.Audiences = "leaving", []string{"vault"}
	token := c.minted(t, config, time.Hour)
	c.Delete(t, "/api/v1/namespaces/shop/serviceaccounts/leaving")
	c.awaitEnd(t, "service account", token)
	c.refused(t, config, "no such service account")
}

func testRefusals(t *testing.T, c cluster) {
	bound := func(kind, name, uid string) func(*kubernetestoken.Config) {
		return func(config *kubernetestoken.Config) {
			config.BoundObject = &kubernetestoken.BoundObject{Kind: kind, Name: name, UID: uid}
		}
	}
	showing := func(token string) func(*kubernetestoken.Config) {
		return func(config *kubernetestoken.Config) { config.Auth.Token = providertest.Ref(t, token) }
	}
	account := func(name string) func(*kubernetestoken.Config) {
		return func(config *kubernetestoken.Config) { config.ServiceAccount = name }
	}
	c.Pod(t, "shop", "gone", "mintmark")
	gone := c.PodToken(t, "shop", "mintmark", "gone", c.Audience)
	c.Delete(t, "/api/v1/namespaces/shop/pods/gone")
	for name, tt := range map[string]struct {
		change func(*kubernetestoken.Config)
		cause  string
	}{
		"an account it has no right to": {account("other"), "status 403: the broker's user needs the verb create on serviceaccounts/token"},
		"another namespace":             {func(config *kubernetestoken.Config) { config.Namespace = "absent" }, "status 403"},
		"no such account":               {account("absent"), "status 404: there is no such service account"},
		"no such pod":                   {bound("Pod", "absent", ""), "status 404: there is no such bound_object"},
		"no such secret":                {bound("Secret", "absent", ""), "status 404: there is no such bound_object"},
		"no such node":                  {bound("Node", "absent", ""), "status 404: there is no such bound_object"},
		"a pod of another account":      {bound("Pod", "mintmark-0", ""), "status 400: "},
		"a pod that was made anew":      {bound("Pod", "orders-0", "11111111-2222-3333-4444-555555555555"), "status 409: compare bound_object.uid"},
		"no token of the server's":      {showing("canary-5f1d7c-made-up"), "status 401: compare auth"},
		"a token for another":           {showing(c.PodToken(t, "shop", "mintmark", "mintmark-0", "vault")), "status 401: compare auth"},
		"a token of a pod that is gone": {showing(gone), "status 401: compare auth"},
	} {
		t.Run(name, func(t *testing.T) {
			config := c.config(t)
			tt.change(&config)
			c.refused(t, config, tt.cause)
		})
	}
}

// The kubelet writes a new token into the file while the old one is still good.
func testRotatedToken(t *testing.T, c cluster) {
	c.Pod(t, "shop", "first", "mintmark")
	first := c.PodToken(t, "shop", "mintmark", "first", c.Audience)
	c.hold(t, first)
	p := open(t, c.config(t), providers.Env{})
	if _, err := p.Mint(t.Context(), providers.Request{}); err != nil {
		t.Fatal(err)
	}
	c.Delete(t, "/api/v1/namespaces/shop/pods/first")
	var err error
	await(t, "pod", func() bool {
		_, err = p.Mint(t.Context(), providers.Request{})
		return err != nil
	})
	providertest.CheckAnswer(t, providers.Credential{}, err, first)
	if !strings.Contains(err.Error(), "status 401") {
		t.Errorf("with the token of a deleted pod: got %v, want 401", err)
	}
	c.hold(t, c.PodToken(t, "shop", "mintmark", "mintmark-0", c.Audience))
	if _, err := p.Mint(t.Context(), providers.Request{}); err != nil {
		t.Errorf("with the next token: got %v", err)
	}
}
