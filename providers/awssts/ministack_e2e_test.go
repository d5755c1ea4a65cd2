//go:build e2e && ministack

package awssts_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"mintmark/internal/fault"
	"mintmark/internal/testenv"
	"mintmark/providers"
	"mintmark/providers/awssts"
	"mintmark/providers/internal/providertest"
)

// miniSite is a MiniStack with two buckets.
type miniSite struct{ *testenv.MiniStackServer }

func newMiniSite(t *testing.T) *miniSite {
	t.Helper()
	s := &miniSite{testenv.MiniStack(t)}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the server's log:\n%s", s.Log())
		}
	})
	for _, bucket := range []string{"reports", "payroll"} {
		if _, err := s.S3().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &bucket}); err != nil {
			t.Fatalf("create bucket %s: %v", bucket, err)
		}
	}
	return s
}

// conditioned adds a condition to a policy of one statement.
func conditioned(policy, condition string) string {
	return strings.Replace(policy, `"Effect"`, `"Condition":`+condition+`,"Effect"`, 1)
}

// trusting permits the broker's user to assume a role, and what else of sts it needs.
func (s *miniSite) trusting(actions string) string {
	return trust("AWS", s.UserARN, "sts:AssumeRole"+actions)
}

func (s *miniSite) config(t *testing.T, role string) awssts.Config {
	return awssts.Config{
		Region: s.Region, Endpoint: providertest.URL(t, s.Endpoint), RoleARN: role,
		AccessKeyID: providertest.Ref(t, s.AccessKey), SecretAccessKey: providertest.Ref(t, s.SecretKey),
	}
}

func (s *miniSite) lease(t *testing.T, c awssts.Config, agent string) providers.Opened {
	t.Helper()
	r := providertest.One(t, open(t, c, providers.Env{}), s.SecretKey)
	t.Cleanup(func() { r.Stop(t) })
	leased, _ := r.Must(t, providertest.Agent(t, agent))
	return r.Reveal(t, leased)
}

// refuses returns why c leases nothing.
func (s *miniSite) refuses(t *testing.T, c awssts.Config) string {
	t.Helper()
	r := providertest.One(t, open(t, c, providers.Env{}), s.SecretKey)
	t.Cleanup(func() { r.Stop(t) })
	r.Refused(t, providertest.Agent(t, agentID), fault.Internal)
	return r.Records(t)[0].Reason
}

func (s *miniSite) puts(t *testing.T, c providers.Opened, want map[string]string) {
	t.Helper()
	for bucket, code := range want {
		if got := put(t, s, c, bucket); got != code {
			t.Errorf("put into %s: got %q, want %q", bucket, got, code)
		}
	}
}

// What AWS takes as parameters of AssumeRole and the other servers take no notice of.
func TestMiniStack(t *testing.T) {
	t.Parallel()
	s := newMiniSite(t)
	for name, test := range map[string]func(*testing.T, *miniSite){
		"tags are the agent's":     testMiniTags,
		"tags that trust asks for": testMiniTrustedTags,
		"external id":              testMiniExternalID,
		"policies":                 testMiniPolicies,
		"name of the session":      testMiniName,
		"chain":                    testMiniChain,
		"source identity":          testMiniSource,
	} {
		t.Run(name, func(t *testing.T) { test(t, s) })
	}
}

// What a role permits by the tag that names the agent, another agent does not get.
func testMiniTags(t *testing.T, s *miniSite) {
	permits := conditioned(everything, `{"StringEquals":{"aws:PrincipalTag/agent":"`+agentID+`","aws:PrincipalTag/folder":"a.test/ns/prod/sa/bot"}}`)
	c := s.config(t, s.Role(t, "tagged", s.trusting(`","sts:TagSession`), permits))
	c.Tags = map[string]string{"agent": "{agent}", "folder": "{trust_domain}/{subject_path}"}
	s.puts(t, s.lease(t, c, agentID), map[string]string{"reports": ""})
	s.puts(t, s.lease(t, c, agentID+"2"), map[string]string{"reports": "AccessDenied"})
	c.Tags = nil
	s.puts(t, s.lease(t, c, agentID), map[string]string{"reports": "AccessDenied"})
}

// A trust policy can ask for tags, and must permit them.
func testMiniTrustedTags(t *testing.T, s *miniSite) {
	asks := `{"StringEquals":{"aws:RequestTag/team":"platform"},"ForAllValues:StringEquals":{"aws:TagKeys":["team","agent"]}}`
	c := s.config(t, s.Role(t, "asks", conditioned(s.trusting(`","sts:TagSession`), asks), everything))
	for name, test := range map[string]struct {
		tags map[string]string
		ok   bool
	}{
		"those":         {map[string]string{"team": "platform", "agent": "{agent}"}, true},
		"none":          {nil, false},
		"another value": {map[string]string{"team": "sales"}, false},
		"one more":      {map[string]string{"team": "platform", "other": "x"}, false},
	} {
		c.Tags = test.tags
		if test.ok {
			s.puts(t, s.lease(t, c, agentID), map[string]string{"reports": ""})
			continue
		}
		if got := s.refuses(t, c); !strings.Contains(got, "AccessDenied: the broker may not assume the role") {
			t.Errorf("%s: got %q", name, got)
		}
	}
	c = s.config(t, s.Role(t, "untagged", s.trusting(""), everything))
	c.Tags = map[string]string{"team": "platform"}
	if got := s.refuses(t, c); !strings.Contains(got, "AccessDenied: the broker may not assume the role") {
		t.Errorf("tags that the trust policy does not permit: got %q", got)
	}
}

func testMiniExternalID(t *testing.T, s *miniSite) {
	c := s.config(t, s.Role(t, "foreign", conditioned(s.trusting(""), `{"StringEquals":{"sts:ExternalId":"acme:42"}}`), everything))
	for _, id := range []string{"", "acme:43"} {
		c.ExternalID = id
		if got := s.refuses(t, c); !strings.Contains(got, "AccessDenied: the broker may not assume the role") {
			t.Errorf("external id %q: got %q", id, got)
		}
	}
	c.ExternalID = "acme:42"
	s.puts(t, s.lease(t, c, agentID), map[string]string{"reports": ""})
}

// Managed policies limit a session as one in the request does, and both let through
// what either permits.
func testMiniPolicies(t *testing.T, s *miniSite) {
	c := s.config(t, s.Role(t, "limited", s.trusting(""), everything))
	c.PolicyARNs = []string{s.Policy(t, "reports", reportsOnly)}
	s.puts(t, s.lease(t, c, agentID), map[string]string{"reports": "", "payroll": "AccessDenied"})
	c.Policy = strings.ReplaceAll(reportsOnly, "reports/*", "payroll/{subject_path}/*")
	opened := s.lease(t, c, agentID)
	s.puts(t, opened, map[string]string{"reports": "", "payroll": "AccessDenied"})
	if got := putAt(t, s, opened, "payroll", "ns,prod,sa,bot/object"); got != "" {
		t.Errorf("put what the policy in the request permits: got %q", got)
	}
	c.PolicyARNs = []string{"arn:aws:iam::123456789012:policy/none"}
	if got := s.refuses(t, c); !strings.Contains(got, "status 400 and ValidationError") {
		t.Errorf("a policy that is not: got %q", got)
	}
}

// A trust policy can admit one agent by the name of its session.
func testMiniName(t *testing.T, s *miniSite) {
	c := s.config(t, s.Role(t, "named", conditioned(s.trusting(""), `{"StringEquals":{"sts:RoleSessionName":"ns,prod,sa,bot"}}`), everything))
	s.puts(t, s.lease(t, c, agentID), map[string]string{"reports": ""})
	r := providertest.One(t, open(t, c, providers.Env{}), s.SecretKey)
	defer r.Stop(t)
	r.Refused(t, providertest.Agent(t, agentID+"2"), fault.Internal)
}

// The tags are of the last session, whose role asks for them.
func testMiniChain(t *testing.T, s *miniSite) {
	hub := s.Role(t, "hub", s.trusting(""), strings.NewReplacer("s3:*", "sts:*", "arn:aws:s3:::*", "*").Replace(everything))
	session := "arn:aws:sts::123456789012:assumed-role/hub/ns,prod,sa,bot"
	permits := conditioned(everything, `{"StringEquals":{"aws:PrincipalTag/agent":"`+agentID+`"}}`)
	c := s.config(t, s.Role(t, "last", trust("AWS", session, `sts:AssumeRole","sts:TagSession`), permits))
	c.Tags, c.TransitiveTags = map[string]string{"agent": "{agent}"}, []string{"agent"}
	if got := s.refuses(t, c); !strings.Contains(got, "AccessDenied: the broker may not assume the role") {
		t.Errorf("without the role on the way: got %q", got)
	}
	c.Chain = []string{hub}
	s.puts(t, s.lease(t, c, agentID), map[string]string{"reports": ""})
}

func testMiniSource(t *testing.T, s *miniSite) {
	c := s.config(t, s.Role(t, "sourced", s.trusting(`","sts:SetSourceIdentity`), everything))
	c.SourceIdentity = "{subject_path}"
	if got := s.refuses(t, c); !strings.Contains(got, "without the source identity") {
		t.Errorf("source identity that is not taken: got %q", got)
	}
}
