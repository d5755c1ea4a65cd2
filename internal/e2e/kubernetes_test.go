//go:build e2e && kubernetes

package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"mintmark/internal/testenv"
)

// An agent without any right in a cluster reads there as the service account that
// the broker mints tokens of: what policy permits, and what RBAC does.
func TestClusterThroughMintmark(t *testing.T) {
	w := &world{binary: build(t), spire: testenv.SPIRE(t, testenv.SPIREOptions{})}
	w.spire.Register(t, brokerID, testenv.ProgramSelectors(t, w.binary)...)
	w.spire.Register(t, shopID)
	w.workload = workloadClient(t, w.spire.Addr)
	k := testenv.Kubernetes(t)
	k.Namespace(t, "shop", "mintmark", "orders")
	k.Pod(t, "shop", "mintmark-0", "mintmark")
	k.AllowTokens(t, "shop", "orders", "system:serviceaccount:shop:mintmark")
	k.Allow(t, "shop", "system:serviceaccount:shop:orders", "get", "pods")
	own, s := k.PodToken(t, "shop", "mintmark", "mintmark-0", k.Audience), &secrets{}
	s.add("the broker's own token", own)
	m := w.serve(t, site{secrets: s, policies: `
@id("reads")
permit (principal == Agent::"` + shopID + `", action in [Action::"connect", Action::"http/GET"], resource);
`, config: fmt.Sprintf(`
providers:
  orders:
    kind: kubernetes-token
    address: %[1]s
    ca: %[2]s
    auth: {token: "file:%[3]s"}
    namespace: shop
    service_account: orders
    ttl: 10m
upstreams:
  cluster:
    kind: http
    url: %[1]s
    ca: %[2]s
    credentials: [{provider: orders, scheme: bearer}]
`, k.Addr, k.CA, secretFile(t, own))})

	const core = "/http/cluster/api/v1/namespaces/shop/"
	a := m.agent(t, evidence{id: shopID, madeUp: http.Header{"Authorization": {"Bearer " + k.Admin}}})
	if got := a.do(t, http.MethodGet, core+"pods/mintmark-0", "", nil); got.status != http.StatusOK || !strings.Contains(got.body, `"serviceAccountName":"mintmark"`) {
		t.Errorf("GET a pod: got %d %s, want it", got.status, got.body)
	}
	if got := a.do(t, http.MethodGet, core+"secrets", "", nil); got.status != http.StatusForbidden || !strings.Contains(got.body, "system:serviceaccount:shop:orders") {
		t.Errorf("GET secrets: got %d %s, want the API server's own refusal of orders", got.status, got.body)
	}
	if got := a.do(t, http.MethodDelete, core+"pods/mintmark-0", "", nil); got.status != http.StatusForbidden || !strings.Contains(got.body, "mintmark") || strings.Contains(got.body, "serviceaccount") {
		t.Errorf("DELETE: got %d %s, want a refusal by the broker", got.status, got.body)
	}
	if minted := m.last(t, "--kind", "issuance"); minted.Event != "mint" || time.Until(minted.NotAfter) > 10*time.Minute {
		t.Errorf("record: got %+v, want a token for 10 minutes", minted)
	}
}
