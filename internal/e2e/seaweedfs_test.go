//go:build e2e && seaweedfs

package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"mintmark/internal/testenv"
)

// weedSite is the registration of a SeaweedFS: sessions by a key and by the broker's own
// identity, each for one agent's folder of one bucket.
const weedSite = `
providers:
  by-key:
    kind: aws-sts
    region: %[1]s
    endpoint: %[2]s
    role_arn: %[3]s
    access_key_id: file:%[4]s
    secret_access_key: file:%[5]s
    policy: '%[8]s'
  by-identity:
    kind: aws-sts
    region: %[1]s
    endpoint: %[2]s
    role_arn: %[6]s
    web_identity: {audience: seaweedfs}
    policy: '%[8]s'
upstreams:
  keyed:
    kind: http
    url: %[7]s
    credentials: [{provider: by-key, scheme: sigv4, region: %[1]s, service: s3}]
  identified:
    kind: http
    url: %[7]s
    credentials: [{provider: by-identity, scheme: sigv4, region: %[1]s, service: s3}]
`

const ownFolder = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetObject","s3:PutObject"],"Resource":["arn:aws:s3:::reports/{trust_domain}/{subject_path}/*"]}]}`

// Two agents write and read objects of a SeaweedFS through one broker, each in a folder
// of its own. The server's audit log says which of them it was.
func TestSeaweedFSThroughMintmark(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	w := &world{binary: build(t), spire: testenv.SPIRE(t, testenv.SPIREOptions{JWTIssuer: issuer.url()})}
	w.spire.Register(t, brokerID, testenv.ProgramSelectors(t, w.binary)...)
	w.spire.Register(t, shopID)
	w.spire.Register(t, rivalID)
	w.workload = workloadClient(t, w.spire.Addr)
	issuer.publish(t, w.spire)
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{%q:%q},"Action":%q,"Condition":{"StringEquals":{%q:%q}}}]}`
	permits := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::*"}]}`
	weed, s := testenv.SeaweedFS(t, testenv.SeaweedFSOptions{
		OpenID: &testenv.SeaweedFSOpenID{Issuer: issuer.url(), Audience: "seaweedfs"},
		Roles: map[string]testenv.SeaweedFSRole{
			"keyed":      {Trust: fmt.Sprintf(trust, "AWS", testenv.SeaweedFSUser, "sts:AssumeRole", "aws:PrincipalArn", testenv.SeaweedFSUser), Permits: permits},
			"identified": {Trust: fmt.Sprintf(trust, "Federated", "openid", "sts:AssumeRoleWithWebIdentity", "oidc:sub", brokerID), Permits: permits},
		},
	}), &secrets{}
	s.add("bootstrap key", weed.SecretKey)
	for _, bucket := range []string{"reports", "payroll"} {
		if _, err := weed.S3().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &bucket}); err != nil {
			t.Fatal(err)
		}
	}
	m := w.serve(t, site{
		secrets: s, policies: permitShop + strings.ReplaceAll(permitShop, "shop", "rival"),
		config: fmt.Sprintf(weedSite, weed.Region, newTap(t, weed.Endpoint, s), weed.RoleARN("keyed"),
			secretFile(t, weed.AccessKey), secretFile(t, weed.SecretKey), weed.RoleARN("identified"), weed.Endpoint, ownFolder),
	})
	for id, name := range map[string]string{shopID: "agent,shop", rivalID: "agent,rival"} {
		a := m.agent(t, evidence{id: id})
		for _, role := range []string{"keyed", "identified"} {
			t.Run(role+" by "+name, func(t *testing.T) { a.wantOwnFolder(t, weed, role, name) })
		}
	}
	m.stop(t)
	t.Run("signatures", func(t *testing.T) { w.wantSignatures(t, weed, s) })
	for _, kind := range []string{"SecretAccessKey", "SessionToken", "WebIdentityToken"} {
		if !s.has(kind) {
			t.Errorf("secrets: got no %s to look for", kind)
		}
	}
}

// wantOwnFolder writes and reads in the agent's own folder, and is refused elsewhere by
// the server, which has all of it in its audit log with the agent's session of role.
func (a *agent) wantOwnFolder(t *testing.T, weed *testenv.SeaweedFSServer, role, name string) {
	t.Helper()
	object := role + ".txt"
	for _, test := range []struct {
		method, path string
		status       int
	}{
		{http.MethodPut, "/reports/example.org/" + name + "/" + object, http.StatusOK},
		{http.MethodGet, "/reports/example.org/" + name + "/" + object, http.StatusOK},
		{http.MethodPut, "/reports/example.org/agent,other/" + object, http.StatusForbidden},
		{http.MethodGet, "/payroll/example.org/" + name + "/" + object, http.StatusForbidden},
	} {
		got := a.do(t, test.method, "/http/"+role+test.path, "content", nil)
		if got.status != test.status || test.method == http.MethodGet && got.status == http.StatusOK && got.body != "content" {
			t.Errorf("%s %s: got %d %s, want %d", test.method, test.path, got.status, got.body, test.status)
		}
		requester := "assumed-role/" + role + "/" + name
		entry := weed.Entry(t, func(e testenv.SeaweedFSEntry) bool {
			return "/"+e.Bucket+"/"+e.Key == test.path && strings.HasSuffix(e.Requester, requester) && e.Operation == "REST."+test.method+".OBJECT"
		})
		if identity := map[string]string{"identified": brokerID}[role]; entry.Status != test.status || entry.Identity != identity {
			t.Errorf("%s %s in the audit log: got %s, want status %d and identity %q", test.method, test.path, entry.Raw, test.status, identity)
		}
	}
}

// wantSignatures has SeaweedFS verify what is signed, as MinIO and Ceph do.
func (w *world) wantSignatures(t *testing.T, weed *testenv.SeaweedFSServer, s *secrets) {
	t.Helper()
	echo := newUpstream(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { _ = json.NewEncoder(rw).Encode(r.Header) }))
	config := strings.ReplaceAll(s3Site, "arn:aws:iam::123456789012:role/reports", weed.RoleARN("keyed"))
	config = strings.ReplaceAll(config, "audience: minio", "audience: seaweedfs")
	m := w.serve(t, site{secrets: s, policies: permitShop, config: fmt.Sprintf(config, weed.Region, newTap(t, weed.Endpoint, s),
		secretFile(t, weed.AccessKey), secretFile(t, weed.SecretKey), weed.RoleARN("identified"), weed.Endpoint, echo.url)})
	a := m.agent(t, evidence{id: shopID})
	t.Run("one bucket", func(t *testing.T) { a.wantOneBucket(t) })
	t.Run("names of objects", func(t *testing.T) { a.wantNames(t, weed) })
	// It sorts the values of one name before it verifies them, as AWS does.
	t.Run("queries", func(t *testing.T) {
		a.wantQueries(t, map[string]int{"z=1&b=2&b=3&a=4": http.StatusOK, "b=3&b=2": http.StatusOK})
	})
	a.wantObjects(t, weed)
	m.stop(t)
}
