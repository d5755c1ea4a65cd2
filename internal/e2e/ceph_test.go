//go:build e2e && ceph

package e2e_test

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"mintmark/internal/testenv"
)

const cephEverything = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:*"],"Resource":["arn:aws:s3:::*"]}]}`

// cephAudience is for whom s3Site asks the broker's JWT-SVID.
const cephAudience = "minio"

// An agent writes and reads objects of a Ceph Object Gateway with what the broker
// signs, in sessions that the broker begins by a key and by its own JWT-SVID. The
// gateway's log of operations names the agent.
func TestCephThroughMintmark(t *testing.T) {
	issuer := newIssuer(t)
	w := &world{binary: build(t), spire: testenv.SPIRE(t, testenv.SPIREOptions{JWTIssuer: issuer.url()})}
	w.spire.Register(t, brokerID, testenv.ProgramSelectors(t, w.binary)...)
	w.spire.Register(t, shopID)
	w.workload = workloadClient(t, w.spire.Addr)
	ceph, s := testenv.Ceph(t), &secrets{}
	s.add("bootstrap key", ceph.SecretKey)
	for _, bucket := range []string{"reports", "payroll"} {
		if _, err := ceph.S3().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &bucket}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := ceph.S3().PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("payroll"), Key: aws.String("q3.txt"), Body: strings.NewReader("secret")}); err != nil {
		t.Fatal(err)
	}
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{%q:[%q]},"Action":[%q]}]}`
	keys := issuer.publish(t, w.spire)
	provider := ceph.OpenID(t, issuer.url(), cephAudience, keys[0].Certificates[0])
	byKey := ceph.Role(t, "reports", fmt.Sprintf(trust, "AWS", ceph.UserARN, "sts:AssumeRole"), cephEverything)
	byIdentity := ceph.Role(t, "identity", fmt.Sprintf(trust, "Federated", provider, "sts:AssumeRoleWithWebIdentity"), cephEverything)
	echo := newUpstream(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { _ = json.NewEncoder(rw).Encode(r.Header) }))
	config := strings.ReplaceAll(s3Site, "arn:aws:iam::123456789012:role/reports", byKey)
	m := w.serve(t, site{secrets: s, policies: permitShop, config: fmt.Sprintf(config, ceph.Region, newTap(t, ceph.Endpoint, s),
		secretFile(t, ceph.AccessKey), secretFile(t, ceph.SecretKey), byIdentity, ceph.Endpoint, echo.url)})

	a := m.agent(t, evidence{id: shopID, madeUp: http.Header{"Authorization": {"AWS4-HMAC-SHA256 Credential=" + rand.Text()}}})
	t.Run("one bucket", func(t *testing.T) { a.wantOneBucket(t) })
	t.Run("names of objects", func(t *testing.T) { a.wantNames(t, ceph) })
	// Ceph 16 verifies no query that has a name twice.
	t.Run("queries", func(t *testing.T) {
		a.wantQueries(t, map[string]int{"z=1&b=2&a=4": http.StatusOK, "b=2&b=3": http.StatusForbidden})
	})
	t.Run("by the broker's identity", func(t *testing.T) {
		a.wantOwnObject(t, "/http/s3-by-identity/payroll/by-identity.txt")
	})
	t.Run("headers that are kept", func(t *testing.T) { a.wantHeaders(t, ceph) })
	t.Run("objects that are compressed", func(t *testing.T) { a.wantDecoded(t, ceph) })
	// Ceph 16 keeps the name of the coding of an upload with what it unpacked.
	for payload, kept := range map[string]string{"": "", "-unsigned": "", "-streaming": "aws-chunked"} {
		t.Run("payload"+payload, func(t *testing.T) { a.wantPayloads(t, "s3"+payload, ceph, kept) })
	}
	m.stop(t)
	for _, role := range []string{"$reports", "$identity"} {
		got := ceph.Operation(t, func(o testenv.CephOperation) bool { return o.Session.Role == role })
		if got.Session.Name != "agent,shop" {
			t.Errorf("log of operations: got session %q of %s, want the agent's", got.Session.Name, role)
		}
	}
	for _, kind := range []string{"SecretAccessKey", "SessionToken", "WebIdentityToken"} {
		if !s.has(kind) {
			t.Errorf("secrets: got no %s to look for", kind)
		}
	}
}

// wantOwnObject writes an object and reads it. It belongs to the session's user, so
// that the test can't look at it.
func (a *agent) wantOwnObject(t *testing.T, path string) {
	t.Helper()
	if got := a.do(t, http.MethodPut, path, "content", nil); got.status != http.StatusOK {
		t.Errorf("PUT: got %d %s", got.status, got.body)
	}
	if got := a.do(t, http.MethodGet, path, "", nil); got.status != http.StatusOK || got.body != "content" {
		t.Errorf("GET: got %d %q, want the object", got.status, got.body)
	}
}
