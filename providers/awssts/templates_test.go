package awssts_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mintmark/broker/bundle"
	"mintmark/internal/fault"
	"mintmark/providers"
	"mintmark/providers/awssts"
	"mintmark/providers/internal/providertest"
)

const ownFolder = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::reports/{subject_path}/*","Condition":{"StringEquals":{"aws:PrincipalTag/td":"{trust_domain}","aws:userid":"${aws:userid}"}}}]}`

func web(t *testing.T, endpoint string) awssts.Config {
	c := keyed(t, endpoint)
	c.AccessKeyID, c.SecretAccessKey = bundle.Ref{}, bundle.Ref{}
	c.WebIdentity = &awssts.WebIdentity{Audience: "sts.amazonaws.com"}
	return c
}

func TestSessionShowsTheAgent(t *testing.T) {
	d := serve(t, answer(200, issued("AssumeRole", time.Now().Add(time.Hour), canary)))
	c := keyed(t, d.URL)
	c.SourceIdentity = "{trust_domain}={subject_path}"
	c.Tags = map[string]string{"team": "platform", "agent": "{agent}", "path": "/{subject_path}"}
	c.TransitiveTags = []string{"agent"}
	c.Policy = ownFolder
	c.PolicyARNs = []string{"arn:aws:iam::aws:policy/ReadOnlyAccess", "arn:aws:iam::123456789012:policy/x"}
	r := providertest.One(t, open(t, c, providers.Env{}), canary)
	defer r.Stop(t)
	r.Must(t, providertest.Agent(t, agentID))
	form, _, _ := d.last()
	want := url.Values{
		"Action": {"AssumeRole"}, "Version": {"2011-06-15"}, "RoleArn": {c.RoleARN}, "RoleSessionName": {"ns,prod,sa,bot"}, "DurationSeconds": {"900"},
		"SourceIdentity":    {"a.test=ns,prod,sa,bot"},
		"Tags.member.1.Key": {"agent"}, "Tags.member.1.Value": {agentID},
		"Tags.member.2.Key": {"path"}, "Tags.member.2.Value": {"/ns/prod/sa/bot"},
		"Tags.member.3.Key": {"team"}, "Tags.member.3.Value": {"platform"},
		"TransitiveTagKeys.member.1": {"agent"},
		"Policy":                     {strings.NewReplacer("{subject_path}", "ns,prod,sa,bot", "{trust_domain}", "a.test").Replace(ownFolder)},
		"PolicyArns.member.1.arn":    {c.PolicyARNs[0]}, "PolicyArns.member.2.arn": {c.PolicyARNs[1]},
	}
	if form.Encode() != want.Encode() {
		t.Errorf("form: got %s, want %s", form.Encode(), want.Encode())
	}
}

// A session of a web identity has the limits of one of a key.
func TestLimitsOfAWebIdentitysSession(t *testing.T) {
	d := serve(t, answer(200, issued("AssumeRoleWithWebIdentity", time.Now().Add(time.Hour), canary)))
	c := web(t, d.URL)
	c.Policy, c.PolicyARNs = `{"for":"{subject_path}"}`, []string{"arn:aws:iam::aws:policy/ReadOnlyAccess"}
	c.Duration.Duration = 20 * time.Minute
	r := providertest.One(t, open(t, c, providers.Env{Self: self{}}), canary)
	defer r.Stop(t)
	r.Must(t, providertest.Agent(t, agentID))
	form, _, _ := d.last()
	want := []string{`{"for":"ns,prod,sa,bot"}`, "arn:aws:iam::aws:policy/ReadOnlyAccess", "1200", "ns,prod,sa,bot"}
	if got := []string{form.Get("Policy"), form.Get("PolicyArns.member.1.arn"), form.Get("DurationSeconds"), form.Get("RoleSessionName")}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// journal answers as STS does, with another session for each request.
type journal struct {
	mu       sync.Mutex
	requests []string // action role key duration policies
}

func (j *journal) serve(t *testing.T) *double {
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		key := "none"
		if _, after, signed := strings.Cut(r.Header.Get("Authorization"), "Credential="); signed {
			key, _, _ = strings.Cut(after, "/")
		}
		if token := r.Header.Get("X-Amz-Security-Token"); token != "" {
			key += "+" + token
		}
		f := r.PostForm
		_, role, _ := strings.Cut(f.Get("RoleArn"), ":role/")
		j.mu.Lock()
		j.requests = append(j.requests, strings.Join([]string{f.Get("Action"), role, key, f.Get("DurationSeconds"), f.Get("Policy"), f.Get("Tags.member.1.Value"), f.Get("SourceIdentity")}, " "))
		n := len(j.requests)
		j.mu.Unlock()
		body := strings.Replace(issued(f.Get("Action"), time.Now().Add(time.Hour), "session-"+role), "ASIAEXAMPLE", "ASIA"+strings.Repeat("X", n), 1)
		answer(200, body)(w, r)
	})
}

func TestChainOfRoles(t *testing.T) {
	const arn = "arn:aws:iam::123456789012:role/"
	for name, tt := range map[string]struct {
		config func(*testing.T, string) awssts.Config
		want   []string
	}{
		"with a key": {keyed, []string{
			"AssumeRole hub AKIAEXAMPLE 900   ",
			"AssumeRole spoke ASIAX+session-hub 900   ",
			"AssumeRole reader ASIAXX+session-spoke 3600 {} spiffe://a.test/ns/prod/sa/bot ns,prod,sa,bot"}},
		"with a web identity": {web, []string{
			"AssumeRoleWithWebIdentity hub none 900   ",
			"AssumeRole spoke ASIAX+session-hub 900   ",
			"AssumeRole reader ASIAXX+session-spoke 3600 {} spiffe://a.test/ns/prod/sa/bot ns,prod,sa,bot"}},
	} {
		t.Run(name, func(t *testing.T) {
			var j journal
			c := tt.config(t, j.serve(t).URL)
			c.Chain = []string{arn + "hub", arn + "spoke"}
			c.Policy, c.Tags, c.SourceIdentity = "{}", map[string]string{"agent": "{agent}"}, "{subject_path}"
			c.Duration.Duration = time.Hour
			r := providertest.One(t, open(t, c, providers.Env{Self: self{}}), canary)
			defer r.Stop(t)
			leased, _ := r.Must(t, providertest.Agent(t, agentID))
			if !slices.Equal(j.requests, tt.want) {
				t.Errorf("got requests %q, want %q", j.requests, tt.want)
			}
			if got := r.Reveal(t, leased); got.Username() != "ASIAXXX" || got.SessionToken() != "session-reader" {
				t.Error("got another session than the last")
			}
		})
	}
}

func TestBrokenChainNamesTheRole(t *testing.T) {
	asked := 0
	d := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked == 2 {
			refusal(403, "AccessDenied")(w, r)
			return
		}
		answer(200, issued("AssumeRole", time.Now().Add(time.Hour), canary))(w, r)
	})
	c := keyed(t, d.URL)
	c.Chain = []string{"arn:aws:iam::123456789012:role/hub", "arn:aws:iam::123456789012:role/spoke"}
	r := providertest.One(t, open(t, c, providers.Env{}), canary)
	defer r.Stop(t)
	r.Refused(t, providertest.Agent(t, agentID), fault.Internal)
	if reason := r.Records(t)[0].Reason; !strings.Contains(reason, "role/spoke") || asked != 2 {
		t.Errorf("got reason %q after %d requests, want the second role named and no third request", reason, asked)
	}
}

func TestAnyTemplateMakesTheCredentialTheAgents(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*awssts.Config)
		want   bool
	}{
		"nothing":         {func(*awssts.Config) {}, false},
		"the name":        {func(c *awssts.Config) { c.SessionName = "x-{trust_domain}" }, true},
		"the default":     {func(c *awssts.Config) { c.SessionName = "" }, true},
		"the policy":      {func(c *awssts.Config) { c.Policy = ownFolder }, true},
		"fixed policy":    {func(c *awssts.Config) { c.Policy = `{"a":"${aws:username}"}` }, false},
		"a tag":           {func(c *awssts.Config) { c.Tags = map[string]string{"a": "b", "c": "{agent}"} }, true},
		"fixed tags":      {func(c *awssts.Config) { c.Tags = map[string]string{"a": "b"} }, false},
		"source identity": {func(c *awssts.Config) { c.SourceIdentity = "{subject_path}" }, true},
	} {
		t.Run(name, func(t *testing.T) {
			d := serve(t, answer(200, issued("AssumeRole", time.Now().Add(time.Hour), canary)))
			c := keyed(t, d.URL)
			c.SessionName = "mintmark"
			tt.change(&c)
			r := providertest.One(t, open(t, c, providers.Env{}), canary)
			defer r.Stop(t)
			first, _ := r.Must(t, providertest.Agent(t, agentID))
			second, _ := r.Must(t, providertest.Agent(t, agentID+"2"))
			if got := first.ID() != second.ID(); got != tt.want {
				t.Errorf("two agents: got credentials apart %t, want %t", got, tt.want)
			}
		})
	}
}

func TestAgentThatCannotBeNamedGetsNothing(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*awssts.Config)
		agent  string
	}{
		"no path in a policy": {func(c *awssts.Config) { c.Policy = ownFolder }, "spiffe://a.test"},
		"too long for a tag":  {func(c *awssts.Config) { c.Tags = map[string]string{"a": "{agent}"} }, "spiffe://a.test/" + strings.Repeat("x", 250)},
	} {
		t.Run(name, func(t *testing.T) {
			d := serve(t, answer(200, issued("AssumeRole", time.Now().Add(time.Hour), canary)))
			c := keyed(t, d.URL)
			tt.change(&c)
			r := providertest.One(t, open(t, c, providers.Env{}), canary)
			defer r.Stop(t)
			if hint := r.Refused(t, providertest.Agent(t, tt.agent), fault.Internal); hint != "the agent's name cannot be put into its credential" {
				t.Errorf("hint: got %q", hint)
			}
			if _, _, asked := d.last(); asked != 0 {
				t.Errorf("got %d requests, want none", asked)
			}
		})
	}
}

func TestTemplateRules(t *testing.T) {
	const hub = "arn:aws:iam::123456789012:role/hub"
	with := func(change func(*awssts.Config)) func(*awssts.Config) { return change }
	tests := map[string]struct {
		change func(*awssts.Config)
		web    bool
		want   []string
	}{
		"everything":              {with(func(c *awssts.Config) { c.Policy, c.Tags = ownFolder, map[string]string{"a b/c": "x={agent}"} }), false, nil},
		"agent in a policy":       {with(func(c *awssts.Config) { c.Policy = `{"a":"{agent}"}` }), false, []string{"policy"}},
		"unknown in a policy":     {with(func(c *awssts.Config) { c.Policy = `{"a":"{role}"}` }), false, []string{"policy"}},
		"placeholder beside text": {with(func(c *awssts.Config) { c.Policy = `{"a":{subject_path}}` }), false, []string{"policy"}},
		"agent in a source":       {with(func(c *awssts.Config) { c.SourceIdentity = "{agent}" }), false, []string{"source_identity"}},
		"wildcard in a tag":       {with(func(c *awssts.Config) { c.Tags = map[string]string{"a": "x*"} }), false, []string{"tags.a"}},
		"comma in a tag":          {with(func(c *awssts.Config) { c.Tags = map[string]string{"a": "x,y"} }), false, []string{"tags.a"}},
		"unknown in a tag":        {with(func(c *awssts.Config) { c.Tags = map[string]string{"a": "{role}"} }), false, []string{"tags.a", "tags.a"}},
		"a name of AWS's":         {with(func(c *awssts.Config) { c.Tags = map[string]string{"AWS:x": "y"} }), false, []string{"tags.AWS:x"}},
		"one name twice":          {with(func(c *awssts.Config) { c.Tags = map[string]string{"a": "y", "A": "y"} }), false, []string{"tags.a"}},
		"transitive and unknown":  {with(func(c *awssts.Config) { c.TransitiveTags = []string{"a"} }), false, []string{"transitive_tags"}},
		"id for a web identity":   {with(func(c *awssts.Config) { c.ExternalID = "their-id" }), true, []string{"external_id"}},
		"tags of a web identity":  {with(func(c *awssts.Config) { c.Tags, c.SourceIdentity = map[string]string{"a": "y"}, "x-y" }), true, []string{"tags", "source_identity"}},
		"with a chain":            {with(func(c *awssts.Config) { c.Tags, c.Chain = map[string]string{"a": "y"}, []string{hub} }), true, nil},
		"long chain":              {with(func(c *awssts.Config) { c.Chain, c.Duration.Duration = []string{hub}, 2*time.Hour }), false, []string{"duration"}},
		"chain of a name":         {with(func(c *awssts.Config) { c.Chain = []string{"hub"} }), false, []string{"chain"}},
		"name of a role":          {with(func(c *awssts.Config) { c.RoleARN = "reports" }), false, []string{"role_arn"}},
		"chain of nothing":        {with(func(c *awssts.Config) { c.Chain = []string{""} }), false, []string{"chain"}},
		"eleven policies":         {with(func(c *awssts.Config) { c.PolicyARNs = slices.Repeat([]string{"arn"}, 11) }), false, []string{"policy_arns"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := keyed(t, "https://sts.example.org")
			if tt.web {
				c = web(t, "https://sts.example.org")
			}
			tt.change(&c)
			if got := providertest.Faults(c); !slices.Equal(got, tt.want) {
				t.Errorf("faults: got %v, want %v", got, tt.want)
			}
		})
	}
}

// Whatever an agent is called, its policy is the template's, with one text longer.
func FuzzPolicy(f *testing.F) {
	f.Add("/ns/prod/sa/bot")
	f.Add(`/"},{"Effect":"Allow"`)
	f.Add("/*")
	f.Add("/${aws:username}")
	f.Fuzz(func(t *testing.T, path string) {
		if request, ok := tryAgent("spiffe://a.test" + path); ok {
			got, err := providers.FillName(ownFolder, request.Agent)
			if err != nil {
				return
			}
			var policy struct{ Statement []struct{ Resource string } }
			if err := json.Unmarshal([]byte(got), &policy); err != nil || len(policy.Statement) != 1 {
				t.Fatalf("got a policy that is another: %s", got)
			}
			resource := policy.Statement[0].Resource
			name, ok := strings.CutPrefix(strings.TrimSuffix(resource, "/*"), "arn:aws:s3:::reports/")
			if !ok || name == "" || strings.ContainsAny(name, `/*?$"\`) {
				t.Errorf("got resource %q, want one folder", resource)
			}
		}
	})
}
