//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"mintmark/internal/testenv"
)

// objectStore is what a test looks into with keys of its own.
type objectStore interface{ S3() *s3.Client }

// secretFile keeps a secret that the broker needs in a file of its own.
func secretFile(t *testing.T, secret string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(name, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// s3Site is the registration of a MinIO: by a key that may assume a role, by
// the broker's own identity, and a server that repeats what it gets.
const s3Site = `
providers:
  s3-session:
    kind: aws-sts
    region: %[1]s
    endpoint: %[2]s
    role_arn: arn:aws:iam::123456789012:role/reports
    access_key_id: file:%[3]s
    secret_access_key: file:%[4]s
    policy: '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetObject","s3:PutObject"],"Resource":["arn:aws:s3:::reports/*"]}]}'
  s3-identity:
    kind: aws-sts
    region: %[1]s
    endpoint: %[2]s
    role_arn: %[5]s
    web_identity: {audience: minio}
upstreams:
  s3:
    kind: http
    url: %[6]s
    credentials: [{provider: s3-session, scheme: sigv4, region: %[1]s, service: s3}]
  s3-by-identity:
    kind: http
    url: %[6]s
    credentials: [{provider: s3-identity, scheme: sigv4, region: %[1]s, service: s3}]
  s3-unsigned:
    kind: http
    url: %[6]s
    credentials: [{provider: s3-session, scheme: sigv4, region: %[1]s, service: s3, payload: unsigned}]
  s3-streaming:
    kind: http
    url: %[6]s
    credentials: [{provider: s3-session, scheme: sigv4, region: %[1]s, service: s3, payload: streaming}]
  s3-headers:
    kind: http
    url: %[6]s
    credentials: [{provider: s3-session, scheme: sigv4, region: %[1]s, service: s3, keep_headers: [X-Amz-Meta-*, X-Amz-Copy-Source]}]
  echo:
    kind: http
    url: %[7]s
    credentials: [{provider: s3-session, scheme: sigv4, region: %[1]s, service: s3}]
`

// The agent reads and writes objects of one bucket with requests that it did
// not sign, and of no other.
func testS3(t *testing.T, w *world) {
	s := &secrets{}
	minio := testenv.MinIO(t, testenv.MinIOOptions{OpenID: &testenv.MinIOOpenID{ConfigURL: w.discovery(t), ClientID: "minio"}})
	minio.EnsureBucket(t, "reports")
	minio.EnsureBucket(t, "payroll")
	s.add("bootstrap key", minio.SecretKey)
	echo := newUpstream(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { _ = json.NewEncoder(rw).Encode(r.Header) }))
	m := w.serve(t, site{secrets: s, policies: permitShop, config: fmt.Sprintf(s3Site, minio.Region, newTap(t, minio.Endpoint, s),
		secretFile(t, minio.AccessKey), secretFile(t, minio.SecretKey), minio.RoleARN, minio.Endpoint, echo.url)})

	a := m.agent(t, evidence{id: shopID, madeUp: http.Header{"Authorization": {"AWS4-HMAC-SHA256 Credential=" + rand.Text()}}})
	t.Run("one bucket", func(t *testing.T) { a.wantOneBucket(t) })
	t.Run("names of objects", func(t *testing.T) { a.wantNames(t, minio) })
	// AWS sorts the values of one name before it verifies them; MinIO takes them as they came.
	t.Run("queries", func(t *testing.T) {
		a.wantQueries(t, map[string]int{"z=1&b=2&b=3&a=4": http.StatusOK, "b=3&b=2": http.StatusForbidden})
	})
	a.wantObjects(t, minio)
	t.Run("masked", func(t *testing.T) {
		got := a.do(t, http.MethodGet, "/http/echo/x", "", nil)
		var headers http.Header
		if err := json.Unmarshal([]byte(got.body), &headers); err != nil {
			t.Fatalf("answer: got %q: %v", got.body, err)
		}
		if token := headers.Get("X-Amz-Security-Token"); token == "" || strings.Trim(token, "*") != "" {
			t.Errorf("session token: got %.20q…, want it masked", token)
		}
	})
	m.stop(t)
	for _, kind := range []string{"SecretAccessKey", "SessionToken", "WebIdentityToken"} {
		if !s.has(kind) {
			t.Errorf("secrets: got no %s to look for", kind)
		}
	}
}

// discovery serves what a relying party that speaks OpenID Connect needs to
// verify the trust domain's JWT-SVIDs, and returns the document's URL.
func (w *world) discovery(t *testing.T) string {
	t.Helper()
	keys := w.spire.JWKS(t)
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/keys" {
			_, _ = rw.Write(keys)
			return
		}
		base := "http://" + r.Host
		_ = json.NewEncoder(rw).Encode(map[string]any{
			"issuer": base, "jwks_uri": base + "/keys", "authorization_endpoint": base + "/none",
			"response_types_supported": []string{"id_token"}, "subject_types_supported": []string{"public"},
			"id_token_signing_alg_values_supported": []string{"ES256"},
		})
	}))
	t.Cleanup(server.Close)
	return server.URL + "/.well-known/openid-configuration"
}

// wantObjects demands that objects of store are written and read whole, in each way in which
// they can be signed.
func (a *agent) wantObjects(t *testing.T, store objectStore) {
	t.Helper()
	t.Run("by the broker's identity", func(t *testing.T) {
		a.wantObject(t, "/http/s3-by-identity/payroll/", "by-identity.txt", store, "payroll", "by-identity.txt")
	})
	t.Run("headers that are kept", func(t *testing.T) { a.wantHeaders(t, store) })
	t.Run("objects that are compressed", func(t *testing.T) { a.wantDecoded(t, store) })
	for _, payload := range []string{"", "-unsigned", "-streaming"} {
		t.Run("payload"+payload, func(t *testing.T) { a.wantPayloads(t, "s3"+payload, store, "") })
	}
}

// wantPayloads writes bodies of every size that matters to a way of signing them. The
// server keeps the objects with a Content-Encoding of kept.
func (a *agent) wantPayloads(t *testing.T, upstream string, store objectStore, kept string) {
	const chunk = 64 << 10
	for _, size := range []int{0, 1, chunk - 1, chunk, chunk + 1, 3*chunk + 7} {
		path, key, content := fmt.Sprintf("/http/%s/reports/%s/%d", upstream, upstream, size), fmt.Sprintf("%s/%d", upstream, size), strings.Repeat("payload\n", size/8+1)[:size]
		headers := http.Header{"Content-Type": {"text/plain"}, "X-Amz-Content-Sha256": {"UNSIGNED-PAYLOAD"}, "X-Amz-Security-Token": {"made-up"}}
		if got := a.do(t, http.MethodPut, path+"?X-Amz-Signature=made-up&X-Amz-Credential=made-up", content, headers); got.status != http.StatusOK {
			t.Errorf("PUT of %d bytes: got %d %s", size, got.status, got.body)
			continue
		}
		if got := a.do(t, http.MethodGet, path, "", nil); got.status != http.StatusOK || got.body != content {
			t.Errorf("GET of %d bytes: got %d and %d bytes", size, got.status, len(got.body))
		}
		bucket, kept := "reports", kept
		if size == 0 {
			kept = "" // there is nothing to send in chunks
		}
		object, err := store.S3().HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: &bucket, Key: &key})
		if err != nil || *object.ContentLength != int64(size) || aws.ToString(object.ContentEncoding) != kept {
			t.Errorf("object of %d bytes: got %+v, %v, want it as it was written", size, object, err)
		}
	}
	got := a.do(t, http.MethodPut, "/http/"+upstream+"/reports/chunked", "5;chunk-signature=0\r\nhello\r\n", http.Header{"X-Amz-Content-Sha256": {"STREAMING-AWS4-HMAC-SHA256-PAYLOAD"}})
	if got.status != http.StatusBadRequest || !strings.Contains(got.body, "chunks") {
		t.Errorf("PUT in the agent's own chunks: got %d %s, want a refusal", got.status, got.body)
	}
}

// wantHeaders writes an object with metadata of its own and copies it. By another
// registration the same headers are stripped.
func (a *agent) wantHeaders(t *testing.T, store objectStore) {
	headers := http.Header{"X-Amz-Meta-Color": {"red,  green"}, "X-Amz-Date": {"19700101T000000Z"}, "X-Amz-Storage-Class": {"REDUCED_REDUNDANCY"}}
	for upstream, want := range map[string]string{"s3": "", "s3-headers": "red,  green"} {
		key := upstream + "/headers"
		if got := a.do(t, http.MethodPut, "/http/"+upstream+"/reports/"+key, "content", headers); got.status != http.StatusOK {
			t.Fatalf("PUT by %s: got %d %s", upstream, got.status, got.body)
		}
		a.wantMetadata(t, store, key, want)
	}
	source := http.Header{"X-Amz-Copy-Source": {"/reports/s3-headers/headers"}}
	if got := a.do(t, http.MethodPut, "/http/s3-headers/reports/copy", "", source); got.status != http.StatusOK || !strings.Contains(got.body, "CopyObjectResult") {
		t.Fatalf("copy: got %d %s", got.status, got.body)
	}
	a.wantMetadata(t, store, "copy", "red,  green")
}

func (a *agent) wantMetadata(t *testing.T, store objectStore, key, color string) {
	t.Helper()
	bucket := "reports"
	object, err := store.S3().HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		t.Fatalf("look at %q in the bucket: %v", key, err)
	}
	if got := object.Metadata["color"]; strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(color), " ") || object.StorageClass != "" {
		t.Errorf("object %q: got color %q and class %q, want %q and none", key, got, object.StorageClass, color)
	}
}

// wantDecoded reads objects that were stored with a Content-Encoding, as S3 gives them
// to whoever asks.
func (a *agent) wantDecoded(t *testing.T, store objectStore) {
	bucket, content := "reports", strings.Repeat("a line of a report\n", 9000)
	for coding := range testenv.Encoders() {
		key := "stored." + coding
		body := bytes.NewReader(testenv.Encode(coding, []byte(content)))
		if _, err := store.S3().PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: body, ContentEncoding: &coding}); err != nil {
			t.Fatalf("store %q: %v", key, err)
		}
		got := a.do(t, http.MethodGet, "/http/s3/reports/"+key, "", nil)
		if got.status != http.StatusOK || got.body != content || got.header.Get("Content-Encoding") != "" || !strings.HasPrefix(got.header.Get("Etag"), "W/") {
			t.Errorf("GET %s: got %d, %d bytes, %v; want the %d of the object", key, got.status, len(got.body), got.header, len(content))
		}
		if got := a.do(t, http.MethodHead, "/http/s3/reports/"+key, "", nil); got.status != http.StatusOK || got.header.Get("Content-Length") != "" {
			t.Errorf("HEAD %s: got %d %v, want no length of what is not sent", key, got.status, got.header)
		}
	}
}

func (a *agent) wantOneBucket(t *testing.T) {
	if got := a.do(t, http.MethodPut, "/http/s3/reports/q3.txt", "up 4 %", nil); got.status != http.StatusOK {
		t.Errorf("PUT: got %d %s", got.status, got.body)
	}
	if got := a.do(t, http.MethodGet, "/http/s3/reports/q3.txt", "", nil); got.status != http.StatusOK || got.body != "up 4 %" {
		t.Errorf("GET: got %d %q, want the object", got.status, got.body)
	}
	for _, method := range []string{http.MethodGet, http.MethodPut} {
		got := a.do(t, method, "/http/s3/payroll/q3.txt", "", nil)
		if got.status != http.StatusForbidden || !strings.Contains(got.body, "<Code>AccessDenied</Code>") {
			t.Errorf("%s in another bucket: got %d %s, want the server's own refusal", method, got.status, got.body)
		}
	}
	decision := a.broker.last(t, "--kind", "decision", "--tool", "/payroll/q3.txt")
	if out := a.broker.outcome(t, decision); !decision.Allow || out.Status != http.StatusForbidden {
		t.Errorf("record: got %+v and %+v, want a call that the upstream refused", decision, out)
	}
}

// wantNames writes and reads objects whose names need care in a URL and in a
// signature. Each is either the object of exactly that name, or refused by the
// broker itself.
func (a *agent) wantNames(t *testing.T, store objectStore) {
	for path, key := range map[string]string{
		"plain.txt":                         "plain.txt",
		"with%20space.txt":                  "with space.txt",
		"a%2Bb.txt":                         "a+b.txt",
		"a+c.txt":                           "a+c.txt",
		"%C3%BCn%C3%AF/%E2%9C%93.txt":       "ünï/✓.txt",
		"a=b&c@d:e,f$g.txt":                 "a=b&c@d:e,f$g.txt",
		"%61%3Db.txt":                       "a=b.txt",
		"it's%20(1)!*~.txt":                 "it's (1)!*~.txt",
		"%22quoted%22%20%5Bx%5D%20%7Bx%7D~": `"quoted" [x] {x}~`,
	} {
		t.Run(key, func(t *testing.T) { a.wantObject(t, "/http/s3/reports/", path, store, "reports", key) })
	}
	got := a.do(t, http.MethodGet, "/http/s3/reports/plain.txt?response-content-language=a+b%2Bc&response-content-disposition=%22x%20y%22~*", "", nil)
	if got.status != http.StatusOK || got.header.Get("Content-Language") != "a b+c" || got.header.Get("Content-Disposition") != `"x y"~*` {
		t.Errorf("GET with a query: got %d %v %s, want what the query asks for", got.status, got.header, got.body)
	}
	for _, path := range []string{"100%25.txt", "a%2Fb.txt", "a/../b.txt", "a//b.txt", "a%5Cb.txt", "a;b.txt", "%2e%2e/b.txt"} {
		t.Run("refused "+path, func(t *testing.T) {
			if got := a.do(t, http.MethodPut, "/http/s3/reports/"+path, "x", nil); got.status != http.StatusBadRequest || !strings.Contains(got.body, "mintmark refused the call") {
				t.Errorf("PUT: got %d %s, want a refusal by the broker", got.status, got.body)
			}
		})
	}
}

// wantQueries reads an object with queries that mean nothing to S3 but are signed.
func (a *agent) wantQueries(t *testing.T, want map[string]int) {
	for query, status := range want {
		if got := a.do(t, http.MethodGet, "/http/s3/reports/plain.txt?"+query, "", nil); got.status != status {
			t.Errorf("GET with %s: got %d %s, want %d", query, got.status, got.body, status)
		}
	}
}

// wantObject writes an object under path and reads it there, and finds it in
// the bucket under key.
func (a *agent) wantObject(t *testing.T, base, path string, store objectStore, bucket, key string) {
	t.Helper()
	content := "content of " + key
	if got := a.do(t, http.MethodPut, base+path, content, nil); got.status != http.StatusOK {
		t.Fatalf("PUT: got %d %s", got.status, got.body)
	}
	if got := a.do(t, http.MethodGet, base+path, "", nil); got.status != http.StatusOK || got.body != content {
		t.Errorf("GET: got %d %q, want the object", got.status, got.body)
	}
	object, err := store.S3().GetObject(context.Background(), &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		t.Fatalf("read %q of the bucket: %v", key, err)
	}
	defer object.Body.Close()
	if got, err := io.ReadAll(object.Body); err != nil || string(got) != content {
		t.Errorf("object %q: got %q, %v, want what was written", key, got, err)
	}
}
