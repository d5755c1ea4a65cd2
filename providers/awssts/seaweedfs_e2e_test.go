//go:build e2e && seaweedfs

package awssts_test

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"mintmark/broker/bundle"
	"mintmark/internal/fault"
	"mintmark/internal/testenv"
	"mintmark/internal/trustdomain"
	"mintmark/providers"
	"mintmark/providers/awssts"
	"mintmark/providers/internal/providertest"
)

const weedAudience = "sts.seaweedfs.test"

// weedSite is a SeaweedFS that believes the broker's trust domain.
type weedSite struct {
	*testenv.SeaweedFSServer
	domain *trustdomain.Domain
	issuer string // its URL
}

func newWeedSite(t *testing.T) *weedSite {
	t.Helper()
	issuer := httptest.NewUnstartedServer(nil)
	url := "http://" + issuer.Listener.Addr().String()
	domain := trustdomain.New("weed.test", trustdomain.Options{Issuer: url})
	issuer.Config.Handler = domain.Handler()
	issuer.Start()
	t.Cleanup(issuer.Close)

	keyed, identified := trust("AWS", testenv.SeaweedFSUser, "sts:AssumeRole"), trust("Federated", "openid", "sts:AssumeRoleWithWebIdentity")
	identified = strings.Replace(identified, `"Effect"`, `"Condition":{"StringEquals":{"oidc:sub":"spiffe://weed.test/mintmark"}},"Effect"`, 1)
	tagged := strings.Replace(everything, `"Effect"`, `"Condition":{"StringEquals":{"aws:PrincipalTag/team":"platform"}},"Effect"`, 1)
	s := &weedSite{domain: domain, issuer: url, SeaweedFSServer: testenv.SeaweedFS(t, testenv.SeaweedFSOptions{
		OpenID: &testenv.SeaweedFSOpenID{Issuer: url, Audience: weedAudience, Tags: []string{"team"}},
		Roles: map[string]testenv.SeaweedFSRole{
			"reports":  {Trust: keyed, Permits: everything},
			"identity": {Trust: identified, Permits: everything},
			"last":     {Trust: trust("AWS", "arn:aws:sts::000000000000:assumed-role/reports/ns,prod,sa,bot", "sts:AssumeRole"), Permits: everything},
			"tagged":   {Trust: keyed, Permits: tagged},
			"claimed":  {Trust: identified, Permits: tagged},
		},
	})}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the server's log:\n%s", s.Log())
		}
	})
	for _, bucket := range []string{"reports", "payroll"} {
		if _, err := s.S3().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(bucket)}); err != nil {
			t.Fatalf("create bucket %s: %v", bucket, err)
		}
	}
	return s
}

func (s *weedSite) keyed(t *testing.T, role string) awssts.Config {
	return awssts.Config{
		Region: s.Region, Endpoint: providertest.URL(t, s.Endpoint), RoleARN: s.RoleARN(role),
		AccessKeyID: providertest.Ref(t, s.AccessKey), SecretAccessKey: providertest.Ref(t, s.SecretKey),
	}
}

func (s *weedSite) identified(t *testing.T, role string) awssts.Config {
	c := s.keyed(t, role)
	c.AccessKeyID, c.SecretAccessKey = bundle.Ref{}, bundle.Ref{}
	c.WebIdentity = &awssts.WebIdentity{Audience: weedAudience}
	return c
}

func (s *weedSite) open(t *testing.T, c awssts.Config, w providertest.Workload) *providertest.Rig {
	t.Helper()
	if w.Domain == nil {
		w.Domain = s.domain
	}
	r := providertest.One(t, open(t, c, providers.Env{Self: w}), s.SecretKey)
	t.Cleanup(func() { r.Stop(t) })
	return r
}

// lease returns what c leases for an agent, and until when.
func (s *weedSite) lease(t *testing.T, c awssts.Config, w providertest.Workload, agent string) (providers.Opened, time.Time) {
	t.Helper()
	r := s.open(t, c, w)
	leased, _ := r.Must(t, providertest.Agent(t, agent))
	return r.Reveal(t, leased), leased.NotAfter()
}

// refuses returns why c leases nothing.
func (s *weedSite) refuses(t *testing.T, c awssts.Config, w providertest.Workload) string {
	t.Helper()
	r := s.open(t, c, w)
	r.Refused(t, providertest.Agent(t, agentID), fault.Internal)
	return r.Records(t)[0].Reason
}

// logged waits for the entry of what a session did with an object.
func (s *weedSite) logged(t *testing.T, session providers.Opened, bucket string) testenv.SeaweedFSEntry {
	t.Helper()
	return s.Entry(t, func(e testenv.SeaweedFSEntry) bool { return e.AccessKey == session.Username() && e.Bucket == bucket })
}

func TestSeaweedFS(t *testing.T) {
	t.Parallel()
	s := newWeedSite(t)
	for name, test := range map[string]func(*testing.T, *weedSite){
		"audit log names the agent": testWeedAudit,
		"each agent in its folder":  testWeedFolders,
		"roles that are not its":    testWeedRoles,
		"duration":                  testWeedDuration,
		"chain":                     testWeedChain,
		"what it does not know":     testWeedUnknown,
		"tags of the token":         testWeedTags,
		"tokens of no use":          testWeedTokens,
		"key of the issuer":         testWeedKey,
	} {
		t.Run(name, func(t *testing.T) { test(t, s) })
	}
}

// The audit log has the agent's session as who asked, of what was done and of what was
// refused, like CloudTrail's userIdentity.arn. With a web identity it has the broker too.
func testWeedAudit(t *testing.T, s *weedSite) {
	byKey, byIdentity := s.keyed(t, "reports"), s.identified(t, "identity")
	byKey.Policy, byIdentity.Policy = reportsOnly, reportsOnly
	for role, c := range map[string]awssts.Config{"reports": byKey, "identity": byIdentity} {
		opened, end := s.lease(t, c, providertest.Workload{}, agentID)
		if life := time.Until(end); life < 14*time.Minute || life > 15*time.Minute {
			t.Errorf("%s: life: got %v, want 15m", role, life)
		}
		for bucket, code := range map[string]string{"reports": "", "payroll": "AccessDenied"} {
			if got := put(t, s, opened, bucket); got != code {
				t.Errorf("%s: put into %s: got %q, want %q", role, bucket, got, code)
			}
			entry := s.logged(t, opened, bucket)
			if !strings.HasSuffix(entry.Requester, ":assumed-role/"+role+"/ns,prod,sa,bot") || entry.ErrorCode != code {
				t.Errorf("%s: %s in the audit log: got %s, want the agent's session and %q", role, bucket, entry.Raw, code)
			}
			if want := map[string]string{"identity": "spiffe://weed.test/mintmark"}[role]; entry.Identity != want {
				t.Errorf("%s: %s in the audit log: got identity %q, want %q", role, bucket, entry.Identity, want)
			}
		}
	}
	// Whoever began a session by a key is on log as itself.
	s.Entry(t, func(e testenv.SeaweedFSEntry) bool { return e.Requester == testenv.SeaweedFSUser && e.Bucket == "" })
}

// One registration: each agent has a folder and a name of its own.
func testWeedFolders(t *testing.T, s *weedSite) {
	for role, c := range map[string]awssts.Config{"reports": s.keyed(t, "reports"), "identity": s.identified(t, "identity")} {
		c.SessionName = "{trust_domain}@{subject_path}"
		c.Policy = strings.ReplaceAll(reportsOnly, "reports/*", "reports/{trust_domain}/{subject_path}/*")
		for agent, own := range map[string]string{agentID: "ns,prod,sa,bot", agentID + "2": "ns,prod,sa,bot2"} {
			opened, _ := s.lease(t, c, providertest.Workload{}, agent)
			for folder, want := range map[string]string{"a.test/ns,prod,sa,bot/": "AccessDenied", "a.test/ns,prod,sa,bot2/": "AccessDenied", "a.test/" + own + "/": ""} {
				if got := putAt(t, s, opened, "reports", folder+"object"); got != want {
					t.Errorf("%s of %s puts into %s: got %q, want %q", agent, role, folder, got, want)
				}
			}
			if entry := s.logged(t, opened, "reports"); !strings.HasSuffix(entry.Requester, "/"+role+"/a.test@"+own) {
				t.Errorf("audit log: got %s, want the session of %s", entry.Raw, agent)
			}
		}
	}
}

func testWeedRoles(t *testing.T, s *weedSite) {
	for name, c := range map[string]awssts.Config{
		"another's":   s.keyed(t, "last"),
		"nobody's":    s.keyed(t, "none"),
		"by identity": s.identified(t, "reports"),
		"by key":      s.keyed(t, "identity"),
	} {
		if got := s.refuses(t, c, providertest.Workload{}); !strings.Contains(got, "AccessDenied: the broker may not assume the role") {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

func testWeedDuration(t *testing.T, s *weedSite) {
	c := s.keyed(t, "reports")
	c.Duration = bundle.Duration{Duration: 2 * time.Hour}
	if _, end := s.lease(t, c, providertest.Workload{}, agentID); time.Until(end) < 119*time.Minute || time.Until(end) > 2*time.Hour {
		t.Errorf("life: got %v, want 2h", time.Until(end))
	}
}

// The last role trusts one agent's session of the role on the way, and not the broker.
func testWeedChain(t *testing.T, s *weedSite) {
	c := s.keyed(t, "last")
	c.Chain = []string{s.RoleARN("reports")}
	c.Policy = reportsOnly
	opened, _ := s.lease(t, c, providertest.Workload{}, agentID)
	if got := put(t, s, opened, "reports"); got != "" {
		t.Errorf("put: got %q", got)
	}
	if entry := s.logged(t, opened, "reports"); !strings.HasSuffix(entry.Requester, ":assumed-role/last/ns,prod,sa,bot") {
		t.Errorf("audit log: got %s, want the agent's session of the last role", entry.Raw)
	}
	r := s.open(t, c, providertest.Workload{})
	r.Refused(t, providertest.Agent(t, agentID+"2"), fault.Internal)
}

// SeaweedFS takes no notice of some of what it is asked for, and does not say so.
func testWeedUnknown(t *testing.T, s *weedSite) {
	c := s.keyed(t, "reports")
	c.SourceIdentity = "{subject_path}"
	if got := s.refuses(t, c, providertest.Workload{}); !strings.Contains(got, "without the source identity") {
		t.Errorf("source identity that is not taken: got %q", got)
	}
	c = s.keyed(t, "tagged")
	c.Tags = map[string]string{"team": "platform"}
	opened, _ := s.lease(t, c, providertest.Workload{}, agentID)
	if got := put(t, s, opened, "reports"); got != "AccessDenied" {
		t.Errorf("tags are taken: got %q, want AccessDenied: say so in docs/providers.md", got)
	}
	c = s.keyed(t, "reports")
	c.PolicyARNs = []string{"arn:aws:iam::aws:policy/AWSDenyAll"}
	opened, _ = s.lease(t, c, providertest.Workload{}, agentID)
	if got := put(t, s, opened, "payroll"); got != "" {
		t.Errorf("policy ARNs are taken: got %q: say so in docs/providers.md", got)
	}
}

// The tags of a web identity are its token's, in a form that is nearly AWS's.
func testWeedTags(t *testing.T, s *weedSite) {
	for name, test := range map[string]struct {
		claim string
		tags  any
		want  string
	}{
		"SeaweedFS's form": {"https://aws.amazon.com/tags/principal_tags", map[string]any{"team": "platform"}, ""},
		"another value":    {"https://aws.amazon.com/tags/principal_tags", map[string]any{"team": "sales"}, "AccessDenied"},
		"AWS's form":       {"https://aws.amazon.com/tags", map[string]any{"principal_tags": map[string]any{"team": []string{"platform"}}}, "AccessDenied"},
	} {
		w := providertest.Workload{Request: trustdomain.JWTRequest{Claims: map[string]any{test.claim: test.tags}}}
		opened, _ := s.lease(t, s.identified(t, "claimed"), w, agentID)
		if got := put(t, s, opened, "reports"); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}

func testWeedTokens(t *testing.T, s *weedSite) {
	for name, w := range map[string]providertest.Workload{
		"expired":          {Request: trustdomain.JWTRequest{Lifetime: -time.Minute}},
		"another audience": {Request: trustdomain.JWTRequest{Audience: []string{"another"}}},
		"another subject":  {Request: trustdomain.JWTRequest{Claims: map[string]any{"sub": "spiffe://weed.test/other"}}},
		"another issuer":   {Request: trustdomain.JWTRequest{Claims: map[string]any{"iss": "http://127.0.0.1:1"}}},
		"no issuer":        {Request: trustdomain.JWTRequest{Claims: map[string]any{"iss": nil}}},
		"another key":      {Domain: trustdomain.New("weed.test", trustdomain.Options{Issuer: s.issuer})},
	} {
		if got := s.refuses(t, s.identified(t, "identity"), w); !strings.Contains(got, "sts answered with status 4") {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

// A key that the issuer has anew is fetched when a token names it.
func testWeedKey(t *testing.T, s *weedSite) {
	c := s.identified(t, "identity")
	for range 2 {
		opened, _ := s.lease(t, c, providertest.Workload{}, agentID)
		if got := put(t, s, opened, "reports"); got != "" {
			t.Errorf("put: got %q", got)
		}
		s.domain.Rotate(trustdomain.DropOld)
	}
}
