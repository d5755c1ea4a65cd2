//go:build e2e && ministack

package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"mintmark/internal/testenv"
)

// miniSite is the registration of a MiniStack: one role, whose sessions have a tag that
// names the agent.
const miniSite = `
providers:
  tagged:
    kind: aws-sts
    region: %[1]s
    endpoint: %[2]s
    role_arn: %[3]s
    access_key_id: file:%[4]s
    secret_access_key: file:%[5]s
    external_id: acme
    tags: {agent: "{agent}"}
upstreams:
  s3:
    kind: http
    url: %[6]s
    credentials: [{provider: tagged, scheme: sigv4, region: %[1]s, service: s3}]
`

// A role permits one agent, by its tag, what it does not permit another that calls
// through the same broker.
func TestMiniStackThroughMintmark(t *testing.T) {
	t.Parallel()
	w := &world{binary: build(t), spire: testenv.SPIRE(t, testenv.SPIREOptions{})}
	w.spire.Register(t, brokerID, testenv.ProgramSelectors(t, w.binary)...)
	w.spire.Register(t, shopID)
	w.spire.Register(t, rivalID)
	w.workload = workloadClient(t, w.spire.Addr)
	mini, s, bucket := testenv.MiniStack(t), &secrets{}, "reports"
	s.add("bootstrap key", mini.SecretKey)
	if _, err := mini.S3().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &bucket}); err != nil {
		t.Fatal(err)
	}
	trust := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":%q},"Action":["sts:AssumeRole","sts:TagSession"],
		"Condition":{"StringLike":{"aws:RequestTag/agent":"spiffe://example.org/*"},"StringEquals":{"sts:ExternalId":"acme"}}}]}`, mini.UserARN)
	permits := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::*",
		"Condition":{"StringEquals":{"aws:PrincipalTag/agent":%q}}}]}`, shopID)
	m := w.serve(t, site{
		secrets: s, policies: permitShop + strings.ReplaceAll(permitShop, "shop", "rival"),
		config: fmt.Sprintf(miniSite, mini.Region, newTap(t, mini.Endpoint, s), mini.Role(t, "tagged", trust, permits),
			secretFile(t, mini.AccessKey), secretFile(t, mini.SecretKey), mini.Endpoint),
	})
	for id, status := range map[string]int{shopID: http.StatusOK, rivalID: http.StatusForbidden} {
		a := m.agent(t, evidence{id: id})
		if got := a.do(t, http.MethodPut, "/http/s3/reports/q3.txt", "up 4 %", nil); got.status != status {
			t.Errorf("PUT by %s: got %d %s, want %d", id, got.status, got.body, status)
		}
	}
	m.stop(t)
	for _, kind := range []string{"SecretAccessKey", "SessionToken"} {
		if !s.has(kind) {
			t.Errorf("secrets: got no %s to look for", kind)
		}
	}
}
