//go:build e2e && ceph

package awssts_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"mintmark/broker/bundle"
	"mintmark/internal/fault"
	"mintmark/internal/testenv"
	"mintmark/providers"
	"mintmark/providers/awssts"
	"mintmark/providers/internal/providertest"
)

// botSession is how Ceph names the session of agentID in its role reports.
const botSession = "arn:aws:sts:::assumed-role/reports/ns,prod,sa,bot"

// cephSite is a Ceph Object Gateway with buckets that belong neither to the broker
// nor to a role.
type cephSite struct {
	*testenv.CephServer
	owner *s3.Client
}

func newCephSite(t *testing.T) *cephSite {
	t.Helper()
	s := &cephSite{CephServer: testenv.Ceph(t)}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the gateway's log:\n%s", s.Log())
		}
	})
	access, key := s.User(t, "owner")
	c := s.Config()
	c.Credentials = credentials.NewStaticCredentialsProvider(access, key, "")
	s.owner = s3.NewFromConfig(c, func(o *s3.Options) { o.UsePathStyle = true })
	for _, bucket := range []string{"reports", "payroll"} {
		s.bucket(t, bucket)
	}
	if _, err := s.owner.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("reports"), Key: aws.String("object")}); err != nil {
		t.Fatalf("put object: %v", err)
	}
	return s
}

func (s *cephSite) bucket(t *testing.T, name string) {
	t.Helper()
	if _, err := s.owner.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name}); err != nil {
		t.Fatalf("create bucket %s: %v", name, err)
	}
}

func (s *cephSite) keyed(t *testing.T, role string) awssts.Config {
	return awssts.Config{
		Region:          s.Region,
		Endpoint:        providertest.URL(t, s.Endpoint),
		RoleARN:         role,
		AccessKeyID:     providertest.Ref(t, s.AccessKey),
		SecretAccessKey: providertest.Ref(t, s.SecretKey),
	}
}

// lease opens a provider and returns what it leases for agent, and until when.
func (s *cephSite) lease(t *testing.T, c awssts.Config, agent string) (providers.Opened, time.Time) {
	t.Helper()
	r := providertest.One(t, open(t, c, providers.Env{}), s.SecretKey)
	t.Cleanup(func() { r.Stop(t) })
	leased, _ := r.Must(t, providertest.Agent(t, agent))
	return r.Reveal(t, leased), leased.NotAfter()
}

// refuses returns why the provider leases nothing.
func (s *cephSite) refuses(t *testing.T, c awssts.Config) string {
	t.Helper()
	r := providertest.One(t, open(t, c, providers.Env{}), s.SecretKey)
	t.Cleanup(func() { r.Stop(t) })
	r.Refused(t, providertest.Agent(t, agentID), fault.Internal)
	return r.Records(t)[0].Reason
}

func (s *cephSite) puts(t *testing.T, c providers.Opened, want map[string]string) {
	t.Helper()
	for bucket, code := range want {
		if got := put(t, s, c, bucket); got != code {
			t.Errorf("put into %s: got %q, want %q", bucket, got, code)
		}
	}
}

func TestCeph(t *testing.T) {
	t.Parallel()
	s := newCephSite(t)
	role := s.Role(t, "reports", trust("AWS", s.UserARN, "sts:AssumeRole"), everything)
	for name, test := range map[string]func(*testing.T, *cephSite, string){
		"session policy":         testCephPolicy,
		"name of the session":    testCephName,
		"duration":               testCephDuration,
		"chain":                  testCephChain,
		"what it does not know":  testCephUnknown,
		"sessions that are none": testCephBroken,
		"session that has ended": testCephEnded,
	} {
		t.Run(name, func(t *testing.T) { test(t, s, role) })
	}
	s.Stop()
	r := providertest.One(t, open(t, s.keyed(t, role), providers.Env{}), s.SecretKey)
	defer r.Stop(t)
	r.Refused(t, providertest.Agent(t, agentID), fault.Unavailable)
}

// The gateway says in its log of operations whose session it was, like CloudTrail.
func testCephPolicy(t *testing.T, s *cephSite, role string) {
	c := s.keyed(t, role)
	c.Policy = reportsOnly
	opened, end := s.lease(t, c, agentID)
	if life := time.Until(end); life < 14*time.Minute || life > 15*time.Minute {
		t.Errorf("life: got %v, want 15m", life)
	}
	s.puts(t, opened, map[string]string{"reports": "", "payroll": "AccessDenied"})
	for bucket, status := range map[string]string{"reports": "200", "payroll": "403"} {
		got := s.Operation(t, func(o testenv.CephOperation) bool { return o.Bucket == bucket && o.Session.Role == "$reports" })
		if got.Status != status || got.Session.Name != "ns,prod,sa,bot" || got.Authentication != "STS" {
			t.Errorf("%s on log: got %s, want the agent's session and %s", bucket, got.Raw, status)
		}
	}
}

// What a bucket permits to one session by its ARN, the other does not get: so the
// name that the provider makes of an agent is the one that policies know.
func testCephName(t *testing.T, s *cephSite, _ string) {
	s.bucket(t, "journal")
	role := s.Role(t, "bare", trust("AWS", s.UserARN, "sts:AssumeRole"), strings.ReplaceAll(everything, "s3:*", "s3:ListAllMyBuckets"))
	policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["` + strings.ReplaceAll(botSession, "reports", "bare") + `"]},"Action":["s3:PutObject"],"Resource":["arn:aws:s3:::journal/*"]}]}`
	if _, err := s.owner.PutBucketPolicy(t.Context(), &s3.PutBucketPolicyInput{Bucket: aws.String("journal"), Policy: &policy}); err != nil {
		t.Fatalf("put bucket policy: %v", err)
	}
	for agent, want := range map[string]string{agentID: "", agentID + "2": "AccessDenied"} {
		opened, _ := s.lease(t, s.keyed(t, role), agent)
		if got := put(t, s, opened, "journal"); got != want {
			t.Errorf("%s: got %q, want %q", agent, got, want)
		}
	}
}

func testCephDuration(t *testing.T, s *cephSite, role string) {
	c := s.keyed(t, role)
	c.Duration = bundle.Duration{Duration: time.Hour}
	if _, end := s.lease(t, c, agentID); time.Until(end) < 59*time.Minute || time.Until(end) > time.Hour {
		t.Errorf("life: got %v, want 1h", time.Until(end))
	}
	c.Duration = bundle.Duration{Duration: 2 * time.Hour}
	if got := s.refuses(t, c); !strings.Contains(got, "status 400 and InvalidArgument") {
		t.Errorf("longer than the role permits: got %q", got)
	}
}

// The last role trusts the session of the one before it, and not the broker.
func testCephChain(t *testing.T, s *cephSite, role string) {
	last := s.Role(t, "last", trust("AWS", role, "sts:AssumeRole"), everything)
	c := s.keyed(t, last)
	if got := s.refuses(t, c); !strings.Contains(got, "AccessDenied: the broker may not assume the role") {
		t.Errorf("without the role on the way: got %q", got)
	}
	c.Chain, c.Policy = []string{role}, strings.ReplaceAll(reportsOnly, "reports", "payroll")
	opened, _ := s.lease(t, c, agentID)
	s.puts(t, opened, map[string]string{"payroll": "", "reports": "AccessDenied"})
	s.Operation(t, func(o testenv.CephOperation) bool {
		return o.Bucket == "payroll" && o.Session.Role == "$last" && o.Session.Name == "ns,prod,sa,bot"
	})
	c.Chain = []string{s.Role(t, "other", trust("AWS", s.UserARN, "sts:AssumeRole"), everything)}
	if got := s.refuses(t, c); !strings.Contains(got, "assume "+last) {
		t.Errorf("by way of a role that is not trusted: got %q", got)
	}
}

// Ceph takes no notice of some of what it is asked for, and does not say so.
func testCephUnknown(t *testing.T, s *cephSite, role string) {
	c := s.keyed(t, role)
	c.SourceIdentity = "{subject_path}"
	if got := s.refuses(t, c); !strings.Contains(got, "without the source identity") {
		t.Errorf("source identity that is not taken: got %q", got)
	}
	c = s.keyed(t, role)
	c.Tags, c.PolicyARNs = map[string]string{"agent": "{agent}"}, []string{"arn:aws:iam::aws:policy/AWSDenyAll"}
	opened, _ := s.lease(t, c, agentID)
	s.puts(t, opened, map[string]string{"reports": ""})
	permits := strings.ReplaceAll(everything, `"Effect"`, `"Condition":{"StringEquals":{"aws:PrincipalTag/agent":"`+agentID+`"}},"Effect"`)
	c.RoleARN = s.Role(t, "for-the-agent", trust("AWS", s.UserARN, "sts:AssumeRole"), permits)
	opened, _ = s.lease(t, c, agentID)
	s.puts(t, opened, map[string]string{"reports": "AccessDenied"})
}

func testCephBroken(t *testing.T, s *cephSite, _ string) {
	role := s.Role(t, "passing", trust("AWS", s.UserARN, "sts:AssumeRole"), everything)
	opened, _ := s.lease(t, s.keyed(t, role), agentID)
	s.puts(t, opened, map[string]string{"reports": ""})
	token := []byte(opened.SessionToken())
	slices.Reverse(token)
	for name, c := range map[string]struct{ key, secret, token, want string }{
		"no token":      {opened.Username(), opened.SecretAccessKey(), "", "AccessDenied"},
		"token of none": {opened.Username(), opened.SecretAccessKey(), "bm9uZQ==", "AccessDenied"},
		"broken token":  {opened.Username(), opened.SecretAccessKey(), string(token), "AccessDenied"},
		"wrong secret":  {opened.Username(), opened.SecretAccessKey() + "x", opened.SessionToken(), "SignatureDoesNotMatch"},
		"another's key": {opened.Username() + "x", opened.SecretAccessKey(), opened.SessionToken(), "AccessDenied"},
	} {
		if got := s.gets(t, credentials.NewStaticCredentialsProvider(c.key, c.secret, c.token)); got != c.want {
			t.Errorf("%s: got %q, want %s", name, got, c.want)
		}
	}
	s.RemoveRole(t, "passing")
	s.puts(t, opened, map[string]string{"reports": "AccessDenied"})
}

func testCephEnded(t *testing.T, s *cephSite, role string) {
	answer, err := sts.NewFromConfig(s.Config()).AssumeRole(t.Context(), &sts.AssumeRoleInput{
		RoleArn: &role, RoleSessionName: aws.String("short"), DurationSeconds: aws.Int32(2),
	})
	if err != nil {
		t.Fatalf("assume role: %v", err)
	}
	c := answer.Credentials
	keys := credentials.NewStaticCredentialsProvider(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)
	deadline := time.Now().Add(time.Minute)
	got := s.gets(t, keys)
	for got == "" && time.Now().Before(deadline) {
		got = s.gets(t, keys)
	}
	if got != "AccessDenied" || time.Now().Before(*c.Expiration) {
		t.Errorf("got %q at %v, want a refusal after %v", got, time.Now(), c.Expiration)
	}
}

// gets reads the object of reports, and returns the code of the refusal, or "".
func (s *cephSite) gets(t *testing.T, keys aws.CredentialsProvider) string {
	t.Helper()
	c := s.Config()
	c.Credentials = keys
	client := s3.NewFromConfig(c, func(o *s3.Options) { o.UsePathStyle = true })
	_, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("reports"), Key: aws.String("object")})
	if refused, ok := errors.AsType[smithy.APIError](err); ok {
		return refused.ErrorCode()
	}
	if err != nil {
		t.Fatalf("get: %v", err)
	}
	return ""
}
