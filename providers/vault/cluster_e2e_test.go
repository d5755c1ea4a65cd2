//go:build e2e && kubernetes

package vault_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"mintmark/internal/fault"
	"mintmark/internal/testenv"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
	"mintmark/providers/vault"
)

// TestCluster is what Vault asks Kubernetes for the broker, with a real API server
// behind OpenBao.
func TestCluster(t *testing.T) {
	k, bao := testenv.Kubernetes(t), testenv.OpenBao(t)
	k.Namespace(t, "prod", "mintmark", "other", "vault")
	k.Namespace(t, "test", "mintmark")
	k.Bind(t, "cluster-admin", "system:serviceaccount:prod:vault")
	vaults := podToken(t, k, "prod", "vault-0", "vault", k.Audience)
	authority, err := os.ReadFile(k.CA)
	if err != nil {
		t.Fatal(err)
	}
	bao.PutKV(t, "app", map[string]any{"key": canary})
	bao.PutPolicy(t, "reader", readApp)
	for mount, reviewer := range map[string]string{"kubernetes": vaults, "unaided": ""} {
		bao.Write(t, "sys/auth/"+mount, map[string]any{"type": "kubernetes"})
		bao.Write(t, "auth/"+mount+"/config", map[string]any{"kubernetes_host": k.Addr, "kubernetes_ca_cert": string(authority),
			"token_reviewer_jwt": reviewer, "disable_local_ca_jwt": true})
		role := map[string]any{"bound_service_account_names": "mintmark", "bound_service_account_namespaces": "prod", "token_policies": "reader", "token_ttl": "1m"}
		if reviewer != "" {
			role["audience"] = "vault"
		}
		bao.Write(t, "auth/"+mount+"/role/mintmark", role)
	}
	bao.Write(t, "sys/mounts/kubernetes", map[string]any{"type": "kubernetes"})
	bao.Write(t, "kubernetes/config", map[string]any{"kubernetes_host": k.Addr, "kubernetes_ca_cert": string(authority),
		"service_account_jwt": vaults, "disable_local_ca_jwt": true})
	t.Run("the broker logs in with its pod's token", func(t *testing.T) { testClusterLogin(t, k, bao) })
	t.Run("it may be asked about by its own right", func(t *testing.T) { testClusterUnaided(t, k, bao) })
	t.Run("others are refused", func(t *testing.T) { testClusterRefusals(t, k, bao) })
	t.Run("the token is read for each login", func(t *testing.T) { testClusterRotation(t, k, bao) })
	t.Run("a token of the engine ends when it is revoked", func(t *testing.T) { testClusterEngine(t, k, bao) })
	t.Run("a login that was made lasts while the API server is down", func(t *testing.T) { testClusterDown(t, k, bao) })
}

// podToken makes a pod and returns the token in it.
func podToken(t *testing.T, k *testenv.KubernetesServer, namespace, pod, account, audience string) string {
	t.Helper()
	k.Pod(t, namespace, pod, account)
	return k.PodToken(t, namespace, account, pod, audience)
}

func clusterConfig(t *testing.T, bao *testenv.OpenBaoServer, token string) vault.Config {
	t.Helper()
	return vault.Config{Address: providertest.URL(t, bao.Addr), KV2: &vault.KV{Path: "app", Field: "key"},
		Auth: vault.Auth{Kubernetes: &vault.Kubernetes{Role: "mintmark", TokenFile: file(t, token)}}}
}

func testClusterLogin(t *testing.T, k *testenv.KubernetesServer, bao *testenv.OpenBaoServer) {
	token := podToken(t, k, "prod", "mintmark-0", "mintmark", "vault")
	r := providertest.One(t, open(t, clusterConfig(t, bao, token), providers.Env{}), canary, token)
	leased, _ := r.Must(t, providers.Request{})
	if got := r.Reveal(t, leased); got.Token() != canary {
		t.Error("got another token than the secret's")
	}
	r.Stop(t)
	if got := r.History(t); got != "login mint logout" {
		t.Errorf("events: got %q", got)
	}
}

// A Vault without a token of its own for the API server shows it the broker's.
func testClusterUnaided(t *testing.T, k *testenv.KubernetesServer, bao *testenv.OpenBaoServer) {
	token := podToken(t, k, "prod", "unaided-0", "mintmark", k.Audience)
	c := clusterConfig(t, bao, token)
	c.Auth.Kubernetes.Mount = "unaided"
	r := providertest.One(t, open(t, c, providers.Env{}), canary, token)
	r.Refused(t, providers.Request{}, fault.Internal)
	r.Stop(t)
	k.Bind(t, "system:auth-delegator", "system:serviceaccount:prod:mintmark")
	r = providertest.One(t, open(t, c, providers.Env{}), canary, token)
	r.Must(t, providers.Request{})
	r.Stop(t)
}

func testClusterRefusals(t *testing.T, k *testenv.KubernetesServer, bao *testenv.OpenBaoServer) {
	gone := podToken(t, k, "prod", "gone", "mintmark", "vault")
	k.Delete(t, "/api/v1/namespaces/prod/pods/gone")
	genuine := podToken(t, k, "prod", "mintmark-1", "mintmark", "vault")
	for name, token := range map[string]string{
		"another service account":  podToken(t, k, "prod", "other-0", "other", "vault"),
		"one of another namespace": podToken(t, k, "test", "mintmark-0", "mintmark", "vault"),
		"a token for another":      k.PodToken(t, "prod", "mintmark", "mintmark-1", "billing"),
		"a token for the cluster":  k.PodToken(t, "prod", "mintmark", "mintmark-1", k.Audience),
		"a pod that is gone":       gone,
		"a changed signature":      genuine[:len(genuine)-8] + "AAAAAAAA",
		"no token":                 canary,
	} {
		t.Run(name, func(t *testing.T) {
			r := providertest.One(t, open(t, clusterConfig(t, bao, token), providers.Env{}), canary, token)
			defer r.Stop(t)
			if hint := r.Refused(t, providers.Request{}, fault.Internal); hint != "the credential provider refused the broker" {
				t.Errorf("hint: got %q", hint)
			}
			if got := r.Records(t)[0].Reason; !strings.Contains(got, "at the login, auth/kubernetes") {
				t.Errorf("record: got reason %q, want one that says that the login failed", got)
			}
		})
	}
}

// The kubelet writes a new token into the file; the login of the old one may have
// ended, as with its pod.
func testClusterRotation(t *testing.T, k *testenv.KubernetesServer, bao *testenv.OpenBaoServer) {
	first := podToken(t, k, "prod", "first", "mintmark", "vault")
	c := clusterConfig(t, bao, first)
	p := open(t, c, providers.Env{})
	endLogins := func() {
		bao.Write(t, "sys/leases/revoke-prefix/auth/kubernetes/login", map[string]any{"sync": true})
	}
	if _, err := p.Mint(t.Context(), providers.Request{}); err != nil {
		t.Fatal(err)
	}
	k.Delete(t, "/api/v1/namespaces/prod/pods/first")
	var err error
	await(t, "the end of the first token", time.Minute, func() bool { // the API server remembers it for 10 s
		endLogins()
		_, err = p.Mint(t.Context(), providers.Request{})
		return err != nil
	})
	providertest.CheckAnswer(t, providers.Credential{}, err, first)
	second := podToken(t, k, "prod", "second", "mintmark", "vault")
	if err := os.WriteFile(string(c.Auth.Kubernetes.TokenFile), []byte(second), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Mint(t.Context(), providers.Request{}); err != nil {
		t.Errorf("with the next token: got %v", err)
	}
}

// Vault's engine makes a service account for each token, so that the token can be
// revoked, which one of the TokenRequest API alone can't.
func testClusterEngine(t *testing.T, k *testenv.KubernetesServer, bao *testenv.OpenBaoServer) {
	bao.Write(t, "kubernetes/roles/viewer", map[string]any{"allowed_kubernetes_namespaces": "prod", "kubernetes_role_name": "view",
		"kubernetes_role_type": "ClusterRole", "token_default_ttl": "10m", "token_default_audiences": "billing"})
	p := asRoot(t, bao, func(c *vault.Config) {
		c.Dynamic = &vault.Dynamic{Path: "kubernetes/creds/viewer", Data: map[string]string{"kubernetes_namespace": "prod"},
			Fields: vault.Fields{Token: "{service_account_token}"}}
	})
	r := providertest.One(t, p, bao.RootToken)
	leased, _ := r.Must(t, providers.Request{})
	token := r.Reveal(t, leased).Token()
	if got := k.Review(t, token, "billing"); !got.Authenticated || !strings.HasPrefix(got.User.Username, "system:serviceaccount:prod:v-") {
		t.Errorf("review: got %+v, want a service account of the engine's", got)
	}
	if left := time.Until(leased.NotAfter()); left < 9*time.Minute || left > 10*time.Minute {
		t.Errorf("end: got %v, want 10 minutes", left)
	}
	r.Stop(t)
	if got := r.Events(t); got != "mint revoke" {
		t.Errorf("events: got %q", got)
	}
	await(t, "the end of the token", time.Minute, func() bool { return !k.Review(t, token, "billing").Authenticated })
}

// OpenBao has no other answer to it than to a stranger. A login that was made lasts.
func testClusterDown(t *testing.T, k *testenv.KubernetesServer, bao *testenv.OpenBaoServer) {
	token := podToken(t, k, "prod", "late-0", "mintmark", "vault")
	before := open(t, clusterConfig(t, bao, token), providers.Env{})
	if _, err := before.Mint(t.Context(), providers.Request{}); err != nil {
		t.Fatal(err)
	}
	k.Stop()
	r := providertest.One(t, open(t, clusterConfig(t, bao, token), providers.Env{}), canary, token)
	defer r.Stop(t)
	if hint := r.Refused(t, providers.Request{}, fault.Internal); hint != "the credential provider refused the broker" {
		t.Errorf("hint: got %q", hint)
	}
	if _, err := before.Mint(t.Context(), providers.Request{}); err != nil {
		t.Errorf("with the login from before: got %v", err)
	}
}
