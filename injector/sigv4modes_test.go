package injector

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"mintmark/broker/bundle"
	"mintmark/internal/fault"
	"mintmark/providers"
)

func awsKey(t *testing.T, m providers.Material) providers.Opened {
	t.Helper()
	return opened(t, providers.AWS, m)
}

// TestSigV4Streams holds head and chunks against the example in the S3 API reference,
// "Signature calculations for the authorization header: transferring payload in
// multiple chunks".
func TestSigV4Streams(t *testing.T) {
	s, err := NewSigV4("us-east-1", "s3", "streaming", nil)
	if err != nil {
		t.Fatal(err)
	}
	s.now = func() time.Time { return time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC) }
	u, err := url.Parse("https://s3.amazonaws.com/examplebucket/chunkObject.txt")
	if err != nil {
		t.Fatal(err)
	}
	content := bytes.Repeat([]byte("a"), 65<<10)
	out := &Outgoing{Method: http.MethodPut, URL: u, Header: http.Header{"X-Amz-Storage-Class": {"REDUCED_REDUNDANCY"}}, Body: content}
	key := awsKey(t, providers.Material{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: providers.NewSecret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")})
	if err := s.Inject(out, key); err != nil {
		t.Fatal(err)
	}
	want := "10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n" + string(content[:64<<10]) + "\r\n" +
		"400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n" + string(content[64<<10:]) + "\r\n" +
		"0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n"
	if string(out.Body) != want || len(want) != 66824 {
		t.Errorf("got %d bytes, %.100q…, want the example's 66824", len(out.Body), out.Body)
	}
	if got := out.Header.Get("Authorization"); !strings.HasSuffix(got, "Signature=4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9") {
		t.Errorf("got %s, want the example's", got)
	}
	for name, want := range map[string]string{"X-Amz-Content-Sha256": streamingPayload, "X-Amz-Decoded-Content-Length": "66560", "Content-Encoding": "aws-chunked"} {
		if got := out.Header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	empty := outgoing(nil)
	if err := s.Inject(empty, key); err != nil || len(empty.Body) != 0 || empty.Header.Get("X-Amz-Content-Sha256") == streamingPayload {
		t.Errorf("no body: got %v and %v, want it signed as one", empty.Header, err)
	}
}

func TestSigV4Unsigned(t *testing.T) {
	s, err := NewSigV4("us-east-1", "s3", "unsigned", nil)
	if err != nil {
		t.Fatal(err)
	}
	s.now = func() time.Time { return time.Unix(1_800_000_000, 0) }
	sign := func(body string) http.Header {
		out := outgoing([]byte(body))
		if err := s.Inject(out, awsKey(t, providers.Material{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: providers.NewSecret("wJalrXUtnFEMI")})); err != nil {
			t.Fatal(err)
		}
		return out.Header
	}
	h := sign("hello")
	if got := h.Get("X-Amz-Content-Sha256"); got != "UNSIGNED-PAYLOAD" {
		t.Errorf("got %q, want UNSIGNED-PAYLOAD", got)
	}
	if h.Get("Authorization") != sign("hallo").Get("Authorization") {
		t.Error("the body is signed, want it left out")
	}
}

// TestSigV4A verifies the signature with the public half of the key that the
// derivation of SigV4A gives for the key of AWS's own test suite.
func TestSigV4A(t *testing.T) {
	s, err := NewSigV4A("us-east-1,eu-*", "s3", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	s.now = func() time.Time { return time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC) }
	out := outgoing([]byte("hello"))
	out.Header.Set("Content-Type", "text/plain;  charset=utf-8")
	out.URL.RawQuery = "acl="
	key := awsKey(t, providers.Material{AccessKeyID: "AKISORANDOMAASORANDOM", SecretAccessKey: providers.NewSecret("q+jcrXGc+0zWN6uzclKVhvMmUsIfRPa4rlRandom"), SessionToken: providers.NewSecret("session-0123456789")})
	if err := s.Inject(out, key); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("hello"))
	digest := hex.EncodeToString(sum[:])
	canonical := strings.Join([]string{"PUT", "/bucket/a%20key", "acl=", "content-type:text/plain; charset=utf-8", "host:127.0.0.1:9000", "x-amz-content-sha256:" + digest,
		"x-amz-date:20150830T123600Z", "x-amz-region-set:us-east-1,eu-*", "x-amz-security-token:session-0123456789", "",
		"content-type;host;x-amz-content-sha256;x-amz-date;x-amz-region-set;x-amz-security-token", digest}, "\n")
	hashed := sha256.Sum256([]byte(canonical))
	toSign := sha256.Sum256([]byte("AWS4-ECDSA-P256-SHA256\n20150830T123600Z\n20150830/s3/aws4_request\n" + hex.EncodeToString(hashed[:])))
	parts := regexp.MustCompile(`^AWS4-ECDSA-P256-SHA256 Credential=AKISORANDOMAASORANDOM/20150830/s3/aws4_request, SignedHeaders=[a-z0-9;-]+, Signature=([0-9a-f]+)$`).
		FindStringSubmatch(out.Header.Get("Authorization"))
	if parts == nil {
		t.Fatalf("got %q", out.Header.Get("Authorization"))
	}
	signature, err := hex.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	if public := suiteKey(t); !ecdsa.VerifyASN1(public, toSign[:], signature) {
		t.Errorf("the signature does not verify over\n%s", canonical)
	}
	if out.Header.Get("Content-Type") != "text/plain;  charset=utf-8" {
		t.Errorf("content type: got %q, want what came", out.Header.Get("Content-Type"))
	}
	if out.Header.Get("Host") != "" || out.URL.RawQuery != "acl=" {
		t.Errorf("got %v and %s, want neither a header Host nor another query", out.Header, out.URL)
	}
}

// suiteKey is the public key of AWS's test suite for the derivation.
func suiteKey(t *testing.T) *ecdsa.PublicKey {
	t.Helper()
	point, err := hex.DecodeString("04" + "15d242ceebf8d8169fd6a8b5a746c41140414c3b07579038da06af89190fffcb" + "0515242cedd82e94799482e4c0514b505afccf2c0c98d6a553bf539f424c5ec0")
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Two keys of one id, as when a secret was changed, each sign for themselves.
func TestSigV4AKeepsNoKey(t *testing.T) {
	s, err := NewSigV4A("*", "s3", "unsigned", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"another-secret", "q+jcrXGc+0zWN6uzclKVhvMmUsIfRPa4rlRandom"} {
		out := outgoing(nil)
		if err := s.Inject(out, awsKey(t, providers.Material{AccessKeyID: "AKISORANDOMAASORANDOM", SecretAccessKey: providers.NewSecret(secret)})); err != nil {
			t.Fatal(err)
		}
		if got := out.Header.Get("X-Amz-Content-Sha256"); got != "UNSIGNED-PAYLOAD" {
			t.Errorf("got %q, want UNSIGNED-PAYLOAD", got)
		}
		canonical := "PUT\n/bucket/a%20key\n\nhost:127.0.0.1:9000\nx-amz-content-sha256:UNSIGNED-PAYLOAD\nx-amz-date:" + out.Header.Get("X-Amz-Date") +
			"\nx-amz-region-set:*\n\nhost;x-amz-content-sha256;x-amz-date;x-amz-region-set\nUNSIGNED-PAYLOAD"
		hashed := sha256.Sum256([]byte(canonical))
		toSign := sha256.Sum256([]byte("AWS4-ECDSA-P256-SHA256\n" + out.Header.Get("X-Amz-Date") + "\n" + out.Header.Get("X-Amz-Date")[:8] + "/s3/aws4_request\n" + hex.EncodeToString(hashed[:])))
		_, signature, _ := strings.Cut(out.Header.Get("Authorization"), "Signature=")
		der, err := hex.DecodeString(signature)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := ecdsa.VerifyASN1(suiteKey(t), toSign[:], der), secret[0] == 'q'; got != want {
			t.Errorf("%.3s…: got a signature by the suite's key %t, want %t", secret, got, want)
		}
	}
}

func TestSigningStripsTheAgentsSignature(t *testing.T) {
	in := http.Header{"Authorization": {"AWS4-HMAC-SHA256 Credential=mine"}, "X-Amz-Date": {"1"}, "X-Amz-Security-Token": {"t"}, "X-Amz-Content-Sha256": {"h"},
		"X-Amz-Acl": {"public-read"}, "X-Amz-Region-Set": {"*"}, "Content-Type": {"text/plain"}}
	for _, name := range []string{"sigv4", "sigv4a"} {
		s := openScheme(t, bundle.Injection{Scheme: name, Region: "eu", Service: "s3"})
		out, stripped := Strip(in, true, s)
		if len(out) != 1 || len(stripped) != 6 {
			t.Errorf("%s: got %v left and %v stripped", name, out, stripped)
		}
		query, names, ok := StripQuery("X-Amz-Signature=a&x-amz-credential=b&X-Amz-Algorithm=c&%58-Amz-Date=d&X-Amz-Region-Set=e&list-type=2", s)
		if !ok || query != "list-type=2" || len(names) != 5 {
			t.Errorf("%s: got %q left and %v stripped", name, query, names)
		}
	}
}

// A body that the agent's SDK framed in chunks would be stored with its frame.
func TestSigningRefusesChunksOfTheAgent(t *testing.T) {
	for _, name := range []string{"sigv4", "sigv4a"} {
		s := openScheme(t, bundle.Injection{Scheme: name, Region: "eu", Service: "s3"})
		for value, h := range map[string]http.Header{
			"streaming": {"X-Amz-Content-Sha256": {"STREAMING-UNSIGNED-PAYLOAD-TRAILER"}},
			"chunked":   {"Content-Encoding": {"gzip, aws-chunked"}},
			"":          {"X-Amz-Content-Sha256": {"UNSIGNED-PAYLOAD"}},
		} {
			err := Admit(s, h, nil)
			if value == "" && err != nil || value != "" && (fault.KindOf(err) != fault.Invalid || !strings.Contains(fault.HintOf(err), "chunks")) {
				t.Errorf("%s of %s: got %v", value, name, err)
			}
		}
	}
}

func TestPayloadsThatAreNone(t *testing.T) {
	for _, i := range []bundle.Injection{
		{Scheme: "sigv4", Region: "eu", Service: "s3", Payload: "hashed"}, {Scheme: "sigv4a", Region: "*", Service: "s3", Payload: "streaming"},
		{Scheme: "query"}, {Scheme: "cookie"}, {Scheme: "body"},
	} {
		if s, err := Open(i); err == nil {
			t.Errorf("%+v: got %v, want an error", i, s)
		}
	}
}

// What a registration keeps goes on and is signed; what says who signs does not,
// whatever a registration says.
func TestSigningKeepsHeaders(t *testing.T) {
	in := http.Header{"X-Amz-Target": {"DynamoDB_20120810.GetItem"}, "X-Amz-Meta-Color": {"red", "green"}, "X-Amz-Meta-Token": {"t"}, "X-Amz-Acl": {"private"},
		"X-Amz-Meta-Hop": {"1"}, "Connection": {"x-amz-meta-hop"}, "X-Amz-Meta-None": {},
		"X-Amz-Date": {"1"}, "X-Amz-Security-Token": {"mine"}, "X-Amz-Region-Set": {"*"}, "X-Amz-Mfa": {"1 2"}, "X-Amzn-Oidc-Identity": {"me"}}
	for _, name := range []string{"sigv4", "sigv4a"} {
		i := bundle.Injection{Scheme: name, Region: "eu", Service: "s3", KeepHeaders: bundle.KeptHeaders{"x-amz-target", "X-Amz-Meta-*"}}
		out, stripped := Strip(in, true, openScheme(t, i))
		if len(out) != 3 || out.Get("X-Amz-Target") == "" || len(out["X-Amz-Meta-Color"]) != 2 || out.Get("X-Amz-Meta-Token") != "t" || len(stripped) != 7 {
			t.Errorf("%s: got %v left and %v stripped", name, out, stripped)
		}
		request := outgoing([]byte("{}"))
		request.Header = out
		key := awsKey(t, providers.Material{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: providers.NewSecret("wJalrXUtnFEMI"), SessionToken: providers.NewSecret("ours")})
		if err := openScheme(t, i).Inject(request, key); err != nil {
			t.Fatal(err)
		}
		_, signed, _ := strings.Cut(request.Header.Get("Authorization"), "SignedHeaders=")
		signed, _, _ = strings.Cut(signed, ",")
		for _, want := range []string{"x-amz-target", "x-amz-meta-color", "x-amz-meta-token"} {
			if !strings.Contains(";"+signed+";", ";"+want+";") {
				t.Errorf("%s: got %q signed, want %s in it", name, signed, want)
			}
		}
		if got := request.Header.Get("X-Amz-Security-Token"); got != "ours" {
			t.Errorf("%s: got session token %q", name, got)
		}
		i.KeepHeaders = bundle.KeptHeaders{"*", "X-Amz-*", "X-Amz-Date", "X-Amz-Security-Token", "X-Amz-Mfa", "X-Amz-Region-Set", "X-Amzn-*", "Authorization"}
		out, _ = Strip(in, true, openScheme(t, i))
		for _, own := range []string{"X-Amz-Date", "X-Amz-Security-Token", "X-Amz-Mfa", "X-Amz-Region-Set", "X-Amzn-Oidc-Identity", "Authorization"} {
			if out[own] != nil {
				t.Errorf("%s: got %s kept", name, own)
			}
		}
	}
}
