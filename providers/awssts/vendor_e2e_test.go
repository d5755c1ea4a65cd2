//go:build e2e

package awssts_test

import (
	"maps"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sts"

	"mintmark/broker/bundle"
	"mintmark/internal/fault"
	"mintmark/internal/testenv"
	"mintmark/providers"
	"mintmark/providers/awssts"
	"mintmark/providers/internal/providertest"
)

// TestWhatAWSClientSends holds the requests against those of AWS's client for another
// language, @aws-sdk/client-sts, which shares no code with the one that the provider uses:
// each parameter, those that no server here knows included, and the address. It does not
// show that AWS takes them, nor that a signature is right, which MinIO and Ceph verify.
func TestWhatAWSClientSends(t *testing.T) {
	t.Parallel()
	const (
		role   = "arn:aws:iam::123456789012:role/reader"
		policy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}`
	)
	arns := []string{"arn:aws:iam::aws:policy/ReadOnlyAccess", "arn:aws:iam::123456789012:policy/own"}
	session := map[string]any{
		"RoleArn": role, "RoleSessionName": "ns,prod,sa,bot", "DurationSeconds": 1800, "Policy": policy,
		"PolicyArns": []map[string]string{{"arn": arns[0]}, {"arn": arns[1]}},
	}
	with := func(more map[string]any) map[string]any {
		maps.Copy(more, session)
		return more
	}
	for command, tt := range map[string]struct {
		config awssts.Config
		input  map[string]any
	}{
		"AssumeRole": {
			awssts.Config{
				AccessKeyID: providertest.Ref(t, "AKIAEXAMPLE"), SecretAccessKey: providertest.Ref(t, canary+"-bootstrap"),
				Tags: map[string]string{"agent": "{agent}", "team": "platform + ops: a=b"}, TransitiveTags: []string{"agent", "team"}, SourceIdentity: "{trust_domain}", ExternalID: "their:id/7",
			},
			with(map[string]any{
				"Tags":              []map[string]string{{"Key": "agent", "Value": agentID}, {"Key": "team", "Value": "platform + ops: a=b"}},
				"TransitiveTagKeys": []string{"agent", "team"}, "SourceIdentity": "a.test", "ExternalId": "their:id/7",
			}),
		},
		"AssumeRoleWithWebIdentity": {
			awssts.Config{WebIdentity: &awssts.WebIdentity{Audience: "sts.amazonaws.com"}},
			with(map[string]any{"WebIdentityToken": "svid-for-sts.amazonaws.com"}),
		},
	} {
		tt.config.Region, tt.config.RoleARN, tt.config.Policy, tt.config.PolicyARNs = "eu-central-1", role, policy, arns
		tt.config.Duration = bundle.Duration{Duration: 30 * time.Minute}
		t.Run(command, func(t *testing.T) { compare(t, tt.config, command, tt.input) })
	}
}

func compare(t *testing.T, c awssts.Config, command string, input map[string]any) {
	answered := answer(200, issued(command, time.Now().Add(time.Hour), canary+"-session"))
	server := providertest.NewCapture(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Errorf("read form: %v", err)
		}
		answered(w, r)
	}))
	c.Endpoint, c.CA = providertest.URL(t, server.URL), bundle.Path(server.Certificate)
	if _, err := open(t, c, providers.Env{Self: self{}}).Mint(t.Context(), providertest.Agent(t, agentID)); err != nil {
		t.Fatal(err)
	}
	ours := server.Take(t, 1)[0].At(t, endpoint(t, c.Region))

	var got struct{ Token string }
	testenv.VendorClient(t, "aws", server.Address, server.Certificate, map[string]any{
		"region": c.Region, "command": command, "input": input,
		"credentials": map[string]string{"accessKeyId": "AKIAEXAMPLE", "secretAccessKey": canary + "-bootstrap"},
	}, &got)
	if got.Token != canary+"-session" {
		t.Errorf("the vendor's client: got %q", got.Token)
	}
	theirs := server.Take(t, 1)[0]
	differ := map[string]string{
		"header Amz-Sdk-Invocation-Id": "telemetry: a random number by which a request is found",
		"header X-Amz-User-Agent":      "telemetry: the library again",
	}
	if command == "AssumeRole" {
		openSignature(t, ours)
		openSignature(t, theirs)
		differ["header X-Amz-Content-Sha256"] = "the digest of the body, which the signature has in it in any case"
		differ["signed x-amz-content-sha256"] = "of the above"
		differ["signed x-amz-user-agent"] = "of the above"
	}
	providertest.Same(t, ours, theirs, differ)
}

// openSignature puts the names that a signature has in its place, and takes out what is
// another each time.
func openSignature(t *testing.T, s providertest.Sent) {
	t.Helper()
	parts := regexp.MustCompile(`^(\S+) Credential=(\S+)/\d{8}/(\S+), SignedHeaders=(\S+), Signature=[0-9a-f]{64}$`).FindStringSubmatch(s["header Authorization"])
	if parts == nil || !regexp.MustCompile(`^\d{8}T\d{6}Z$`).MatchString(s["header X-Amz-Date"]) {
		t.Fatalf("signature: got %q of %q", s["header Authorization"], s["header X-Amz-Date"])
	}
	s["header Authorization"], s["header X-Amz-Date"] = parts[1]+" of "+parts[2]+" for "+parts[3], "now"
	for name := range strings.SplitSeq(parts[4], ";") {
		s["signed "+name] = "yes"
	}
}

// endpoint is the region's own.
func endpoint(t *testing.T, region string) string {
	t.Helper()
	e, err := sts.NewDefaultEndpointResolverV2().ResolveEndpoint(t.Context(), sts.EndpointParameters{Region: &region})
	if err != nil {
		t.Fatal(err)
	}
	if e.URI.Path == "" {
		e.URI.Path = "/"
	}
	return e.URI.String()
}

// TestErrorsThatAWSDocuments has every error that AWS documents for the two calls read by
// the provider: none is unknown to it.
func TestErrorsThatAWSDocuments(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"ExpiredTokenException":   "ExpiredTokenException: the broker's JWT-SVID is not accepted",
		"IDPCommunicationError":   "IDPCommunicationError",
		"IDPRejectedClaim":        "IDPRejectedClaim: the broker's JWT-SVID is not accepted",
		"InvalidContextAssertion": "InvalidContextAssertion",
		"InvalidIdentityToken":    "InvalidIdentityToken: the broker's JWT-SVID is not accepted",
		"MalformedPolicyDocument": "MalformedPolicyDocument: compare policy",
		"PackedPolicyTooLarge":    "PackedPolicyTooLarge: compare policy",
		"RegionDisabledException": "RegionDisabledException",
	}
	seen := map[string]bool{}
	for _, command := range []string{"AssumeRole", "AssumeRoleWithWebIdentity"} {
		var documented map[string]int
		testenv.VendorClient(t, "aws-errors", "", "", map[string]string{"command": command}, &documented)
		for code, status := range documented {
			seen[code] = true
			c := keyed(t, serve(t, refusal(status, code)).URL)
			minted, err := open(t, c, providers.Env{}).Mint(t.Context(), providertest.Agent(t, agentID))
			providertest.CheckAnswer(t, minted, err, canary)
			if err == nil || want[code] == "" || !strings.Contains(err.Error(), want[code]) {
				t.Errorf("%s: %s: got %v, want %q", command, code, err, want[code])
			}
			if unavailable := fault.KindOf(err) == fault.Unavailable; unavailable != (code == "IDPCommunicationError") {
				t.Errorf("%s: %s: got %v, want unavailable only where it can be tried again", command, code, fault.KindOf(err))
			}
		}
	}
	if len(seen) != len(want) {
		t.Errorf("got errors %v, want those of %v", seen, want)
	}
}
