package awssts_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
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

const canary = "canary-c37e14f8d0"

const agentID = "spiffe://a.test/ns/prod/sa/bot"

// double answers as STS does and keeps what it was asked.
type double struct {
	*httptest.Server
	mu     sync.Mutex
	form   url.Values
	header http.Header
	asked  int
}

// last returns the last request, and how many there were.
func (d *double) last() (form url.Values, header http.Header, asked int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.form, d.header, d.asked
}

func serve(t *testing.T, h http.HandlerFunc) *double {
	t.Helper()
	d := &double{}
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Errorf("read form: %v", err)
		}
		d.mu.Lock()
		d.asked++
		d.form, d.header = r.PostForm, r.Header.Clone()
		d.mu.Unlock()
		h(w, r)
	}))
	t.Cleanup(d.Close)
	return d
}

// answer repeats the source identity that it is asked for, as STS does.
func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body := body
		if source := r.PostForm.Get("SourceIdentity"); source != "" {
			body = strings.Replace(body, "Result>", "Result><SourceIdentity>"+source+"</SourceIdentity>", 1)
		}
		w.Header().Set("Content-Type", "text/xml")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func issued(action string, end time.Time, session string) string {
	return fmt.Sprintf(`<%[1]sResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><%[1]sResult><Credentials><AccessKeyId>ASIAEXAMPLE</AccessKeyId>`+
		`<SecretAccessKey>%[4]s-secret</SecretAccessKey><SessionToken>%[3]s</SessionToken><Expiration>%[2]s</Expiration></Credentials></%[1]sResult></%[1]sResponse>`,
		action, end.UTC().Format(time.RFC3339), session, canary)
}

func refusal(status int, code string) http.HandlerFunc {
	return answer(status, `<ErrorResponse><Error><Type>Sender</Type><Code>`+code+`</Code><Message>`+canary+`</Message></Error><RequestId>`+canary+`</RequestId></ErrorResponse>`)
}

func keyed(t *testing.T, endpoint string) awssts.Config {
	return awssts.Config{
		Region:          "eu-central-1",
		Endpoint:        providertest.URL(t, endpoint),
		RoleARN:         "arn:aws:iam::123456789012:role/reader",
		AccessKeyID:     providertest.Ref(t, "AKIAEXAMPLE"),
		SecretAccessKey: providertest.Ref(t, canary+"-bootstrap"),
	}
}

type self struct {
	providertest.NoX509SVID
	err error
}

func (s self) JWTSVID(_ context.Context, audience string) (string, error) {
	return "svid-for-" + audience, s.err
}

func open(t *testing.T, c awssts.Config, env providers.Env) providers.Provider {
	t.Helper()
	if got := providertest.Faults(c); len(got) > 0 {
		t.Fatalf("config: got faults %v, want none", got)
	}
	p, err := awssts.Open(c, env)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return p
}

func TestAssumeRole(t *testing.T) {
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ROLE_ARN", "AWS_PROFILE", "AWS_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS"} {
		t.Setenv(name, "http://127.0.0.1:1/"+canary+"-env")
	}
	end := time.Now().Add(time.Hour).Truncate(time.Second)
	d := serve(t, answer(200, issued("AssumeRole", end, canary+"-session")))
	c := keyed(t, d.URL)
	c.Policy = `{"Version":"2012-10-17","Statement":[]}`
	c.Duration = bundle.Duration{Duration: time.Hour}
	r := providertest.One(t, open(t, c, providers.Env{}), canary)
	defer r.Stop(t)
	leased, _ := r.Must(t, providertest.Agent(t, agentID))
	if got := r.Reveal(t, leased); got.Username() != "ASIAEXAMPLE" || got.SecretAccessKey() != canary+"-secret" || got.SessionToken() != canary+"-session" {
		t.Error("got another key than was issued")
	}
	if leased.Kind() != providers.AWS || !leased.NotAfter().Equal(end) || !slices.Equal(leased.Scopes(), []string{c.RoleARN}) {
		t.Errorf("got kind %s, end %v, scopes %v", leased.Kind(), leased.NotAfter(), leased.Scopes())
	}
	want := url.Values{"Action": {"AssumeRole"}, "Version": {"2011-06-15"}, "RoleArn": {c.RoleARN}, "RoleSessionName": {"ns,prod,sa,bot"}, "DurationSeconds": {"3600"}, "Policy": {c.Policy}}
	form, header, _ := d.last()
	if form.Encode() != want.Encode() {
		t.Errorf("form: got %s, want %s", form.Encode(), want.Encode())
	}
	if auth := header.Get("Authorization"); !strings.Contains(auth, "Credential=AKIAEXAMPLE/") || !strings.Contains(auth, "/eu-central-1/sts/") || header.Get("X-Amz-Security-Token") != "" {
		t.Errorf("authorization: got %q, want it signed with the configured key alone", auth)
	}
}

func TestAssumeRoleWithWebIdentity(t *testing.T) {
	d := serve(t, answer(200, issued("AssumeRoleWithWebIdentity", time.Now().Add(time.Hour), canary+"-session")))
	c := keyed(t, d.URL)
	c.AccessKeyID, c.SecretAccessKey = bundle.Ref{}, bundle.Ref{}
	c.WebIdentity = &awssts.WebIdentity{Audience: "sts.amazonaws.com"}
	r := providertest.One(t, open(t, c, providers.Env{Self: self{}}), canary)
	defer r.Stop(t)
	r.Must(t, providertest.Agent(t, agentID))
	form, header, _ := d.last()
	if form.Get("Action") != "AssumeRoleWithWebIdentity" || form.Get("WebIdentityToken") != "svid-for-sts.amazonaws.com" || form.Get("DurationSeconds") != "900" || form.Has("Policy") {
		t.Errorf("form: got %s", form.Encode())
	}
	if header.Get("Authorization") != "" {
		t.Error("authorization: got one, want none: the token proves who asks")
	}
}

func TestRefusalsAreExplainedAndNotQuoted(t *testing.T) {
	const refused = "the credential provider refused the broker"
	soon := time.Now().Add(time.Hour)
	tests := map[string]struct {
		handler http.HandlerFunc
		kind    fault.Kind
		hint    string
	}{
		"access denied":     {refusal(403, "AccessDenied"), fault.Internal, refused},
		"wrong secret":      {refusal(403, "SignatureDoesNotMatch"), fault.Internal, refused},
		"code of its own":   {refusal(400, canary), fault.Internal, refused},
		"limited":           {refusal(400, "Throttling"), fault.Unavailable, "sts limits how often the broker may ask"},
		"too many":          {refusal(429, canary), fault.Unavailable, "sts limits how often the broker may ask"},
		"broken":            {refusal(500, canary), fault.Unavailable, "sts could not issue a credential"},
		"provider is down":  {refusal(400, "IDPCommunicationError"), fault.Unavailable, "sts could not issue a credential"},
		"page":              {answer(503, canary), fault.Unavailable, "sts could not issue a credential"},
		"not xml":           {answer(200, canary), fault.Unavailable, "sts gave no usable answer"},
		"nothing":           {answer(200, ""), fault.Unavailable, "sts gave no usable answer"},
		"no session token":  {answer(200, issued("AssumeRole", soon, "")), fault.Internal, "sts issued a credential without a session token or an expiry"},
		"already ended":     {answer(200, issued("AssumeRole", time.Now().Add(-time.Hour), canary)), fault.Unavailable, "the credential provider issued a credential that has already ended: compare the clocks"},
		"redirect":          {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "http://127.0.0.1:1/"+canary, 307) }, fault.Unavailable, "sts answered with a redirect, which is not followed"},
		"hangs up":          {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, fault.Unavailable, "sts gave no usable answer"},
		"too long an error": {answer(403, "<Error>"+strings.Repeat(canary, 1<<17)), fault.Unavailable, "sts answered with more than 1048576 bytes"},
		"too long":          {answer(200, "<A>"+strings.Repeat(canary, 1<<17)), fault.Unavailable, "sts answered with more than 1048576 bytes"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d := serve(t, tt.handler)
			r := providertest.One(t, open(t, keyed(t, d.URL), providers.Env{}), canary)
			defer r.Stop(t)
			if hint := r.Refused(t, providertest.Agent(t, agentID), tt.kind); hint != tt.hint {
				t.Errorf("hint: got %q, want %q", hint, tt.hint)
			}
			if name != "already ended" { // the Pool's finding
				r.Names(t, d.URL)
			}
			if _, _, asked := d.last(); asked != 1 {
				t.Errorf("got %d requests, want one: the Pool decides when to try again", asked)
			}
		})
	}
}

// Ceph begins a session without the source identity, and errors as its S3 has them.
func TestServersThatAreNotAWS(t *testing.T) {
	unsourced := func(source string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			r.PostForm.Set("SourceIdentity", source)
			answer(200, issued("AssumeRole", time.Now().Add(time.Hour), canary))(w, r)
		}
	}
	const declared = `<?xml version="1.0" encoding="UTF-8"?>`
	denied := "<Error><Code>AccessDenied</Code><Message>" + canary + "</Message></Error>"
	const without = "without the source identity that it was asked for"
	for name, tt := range map[string]struct {
		handler http.HandlerFunc
		reason  string
	}{
		"no source identity":      {unsourced(""), without},
		"another source identity": {unsourced("someone-else"), without},
		"an error of S3":          {answer(403, declared+denied), "403 and AccessDenied: the broker may not assume the role"},
		"on lines of its own":     {answer(403, " "+declared+"\n"+denied+"\n"), "403 and AccessDenied: the broker may not assume the role"},
		"without a declaration":   {answer(403, denied), "403 and AccessDenied: the broker may not assume the role"},
		"broken":                  {answer(403, "<Error><Code>"+canary), "403 and no code that sts documents"},
	} {
		t.Run(name, func(t *testing.T) {
			c := keyed(t, serve(t, tt.handler).URL)
			c.SourceIdentity = "{subject_path}"
			r := providertest.One(t, open(t, c, providers.Env{}), canary)
			defer r.Stop(t)
			r.Refused(t, providertest.Agent(t, agentID), fault.Internal)
			if got := r.Records(t)[0].Reason; !strings.Contains(got, tt.reason) {
				t.Errorf("reason: got %q, want %q", got, tt.reason)
			}
		})
	}
}

func TestBrokersOwnTroubleIsNamed(t *testing.T) {
	d := serve(t, answer(200, ""))
	c := keyed(t, d.URL)
	c.AccessKeyID, c.SecretAccessKey = bundle.Ref{}, bundle.Ref{}
	c.WebIdentity = &awssts.WebIdentity{Audience: "sts.amazonaws.com"}
	r := providertest.One(t, open(t, c, providers.Env{Self: self{err: io.EOF}}), canary)
	defer r.Stop(t)
	if hint := r.Refused(t, providertest.Agent(t, agentID), fault.Unavailable); hint != "the broker has no identity to show to sts" {
		t.Errorf("no identity: got %q", hint)
	}
	c = keyed(t, d.URL)
	c.SecretAccessKey = providertest.Parse[bundle.Ref](t, "file:/nonexistent/secret")
	other := providertest.One(t, open(t, c, providers.Env{}), canary)
	defer other.Stop(t)
	if hint := other.Refused(t, providertest.Agent(t, agentID), fault.Internal); hint != "the broker cannot read its own secret for the credential provider" {
		t.Errorf("no secret: got %q", hint)
	}
	if _, _, asked := d.last(); asked != 0 {
		t.Errorf("got %d requests, want none", asked)
	}
}

// Whoever may choose what a workload is called can compute the name of another's session.
func TestNoAgentIsCalledAsAnotherOnesSession(t *testing.T) {
	for _, path := range []string{"x", strings.Repeat("x", 80), strings.Repeat("long/", 20) + "x"} {
		named := func(path string) string {
			t.Helper()
			got, err := awssts.SessionName("{subject_path}", providertest.Agent(t, "spiffe://a.test/"+path).Agent)
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		name := named(path)
		for range 3 {
			other := named(strings.ReplaceAll(name, ",", "/"))
			if other == name || len(other) > 64 {
				t.Fatalf("%s: got the name %s for two agents, want another", path, other)
			}
			name = other
		}
	}
}

// Of 48 bits of a hash these two were found in a minute; another agent's name takes hours.
func TestNoHashIsFoundOfAnotherSession(t *testing.T) {
	const path = "spiffe://a.test/ns/production/sa/payments-and-order-processing-service-x"
	one, err := awssts.SessionName("{subject_path}", providertest.Agent(t, path+"1003097067").Agent)
	if err != nil {
		t.Fatal(err)
	}
	if another, err := awssts.SessionName("{subject_path}", providertest.Agent(t, path+"1023443889").Agent); err != nil || another == one {
		t.Errorf("got the name %s for two agents (%v), want another", one, err)
	}
}

func TestSessionName(t *testing.T) {
	long := "spiffe://a.test/" + strings.Repeat("x", 80)
	tests := map[string]struct {
		template string
		agent    string
		want     string
		perAgent bool
	}{
		"path":              {"", agentID, `^ns,prod,sa,bot$`, true},
		"both":              {"mm-{trust_domain}@{subject_path}", agentID, `^mm-a\.test@ns,prod,sa,bot$`, true},
		"fixed":             {"mintmark", agentID, `^mintmark$`, false},
		"too short":         {"", "spiffe://a.test/x", `^x-[0-9a-f]{20}$`, true},
		"cut":               {"", long, `^x{43}-[0-9a-f]{20}$`, true},
		"cut, another tail": {"", long + "y", `^x{43}-[0-9a-f]{20}$`, true},
	}
	names := map[string]string{}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d := serve(t, answer(200, issued("AssumeRole", time.Now().Add(time.Hour), canary)))
			c := keyed(t, d.URL)
			c.SessionName = tt.template
			p := open(t, c, providers.Env{})
			if got := p.(providers.AgentBound).PerAgent(); got != tt.perAgent {
				t.Errorf("per agent: got %t, want %t", got, tt.perAgent)
			}
			if _, err := p.Mint(t.Context(), providertest.Agent(t, tt.agent)); err != nil {
				t.Fatal(err)
			}
			form, _, _ := d.last()
			got := form.Get("RoleSessionName")
			if !regexp.MustCompile(tt.want).MatchString(got) || !regexp.MustCompile(`^[\w+=,.@-]{2,64}$`).MatchString(got) {
				t.Errorf("name: got %q, want %s and what AWS allows", got, tt.want)
			}
			names[got] = tt.agent
		})
	}
	if len(names) != len(tests) {
		t.Errorf("got %d names, want %d: different agents keep different names", len(names), len(tests))
	}
}

// A session is not named after a path that the agent does not have.
func TestASessionIsOfAnAgentWithAPath(t *testing.T) {
	for _, change := range []func(*awssts.Config){func(*awssts.Config) {}, func(c *awssts.Config) { c.SessionName, c.SourceIdentity = "fixed", "{subject_path}" }} {
		d := serve(t, answer(200, issued("AssumeRole", time.Now().Add(time.Hour), canary)))
		c := keyed(t, d.URL)
		change(&c)
		r := providertest.One(t, open(t, c, providers.Env{}), canary)
		if hint := r.Refused(t, providertest.Agent(t, "spiffe://a.test"), fault.Internal); hint != "the agent's name cannot be put into its credential" {
			t.Errorf("hint: got %q", hint)
		}
		r.Stop(t)
	}
}

func TestConfigRules(t *testing.T) {
	tests := map[string]struct {
		change func(*awssts.Config)
		want   []string
	}{
		"as it is":                  {func(*awssts.Config) {}, nil},
		"the region's own endpoint": {func(c *awssts.Config) { c.Endpoint = bundle.URL{} }, nil},
		"plaintext beyond loopback": {func(c *awssts.Config) { c.Endpoint = providertest.URL(t, "http://sts.example.org") }, []string{"endpoint"}},
		"half a key":                {func(c *awssts.Config) { c.AccessKeyID = bundle.Ref{} }, []string{"access_key_id"}},
		"key and identity":          {func(c *awssts.Config) { c.WebIdentity = &awssts.WebIdentity{Audience: "a"} }, []string{"web_identity"}},
		"neither":                   {func(c *awssts.Config) { c.AccessKeyID, c.SecretAccessKey = bundle.Ref{}, bundle.Ref{} }, []string{"web_identity"}},
		"too short":                 {func(c *awssts.Config) { c.Duration.Duration = time.Minute }, []string{"duration"}},
		"too long":                  {func(c *awssts.Config) { c.Duration.Duration = 13 * time.Hour }, []string{"duration"}},
		"half a second":             {func(c *awssts.Config) { c.Duration.Duration = time.Hour + time.Second/2 }, []string{"duration"}},
		"policy not json":           {func(c *awssts.Config) { c.Policy = "{" }, []string{"policy"}},
		"unknown placeholder":       {func(c *awssts.Config) { c.SessionName = "{agent}" }, []string{"session_name"}},
		"an external id":            {func(c *awssts.Config) { c.ExternalID = "their:id/7" }, nil},
		"half an external id":       {func(c *awssts.Config) { c.ExternalID = "x" }, []string{"external_id"}},
		"external id with a space":  {func(c *awssts.Config) { c.ExternalID = "a b" }, []string{"external_id"}},
		"what may be two agents'": {func(c *awssts.Config) {
			c.SessionName, c.SourceIdentity = "{trust_domain}.{subject_path}", "{subject_path}{trust_domain}"
		}, []string{"session_name", "source_identity"}},
		"a policy of two agents'": {func(c *awssts.Config) { c.Policy = `{"Resource":"a/{trust_domain}-{subject_path}/*"}` }, []string{"policy"}},
		"name with a space":       {func(c *awssts.Config) { c.SessionName = "a b" }, []string{"session_name"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := keyed(t, "https://sts.example.org")
			tt.change(&c)
			if got := providertest.Faults(c); !slices.Equal(got, tt.want) {
				t.Errorf("faults: got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	keyless := keyed(t, "https://sts.example.org")
	keyless.SecretAccessKey = bundle.Ref{}
	selfless := keyed(t, "https://sts.example.org")
	selfless.WebIdentity = &awssts.WebIdentity{Audience: "a"}
	rootless := keyed(t, "https://sts.example.org")
	rootless.CA = "/nonexistent/roots.pem"
	for name, c := range map[string]awssts.Config{"no key": keyless, "no identity of its own": selfless, "no roots file": rootless} {
		if p, err := awssts.Open(c, providers.Env{}); err == nil || p != nil {
			t.Errorf("%s: got %v, %v, want no provider and an error", name, p, err)
		}
	}
}

// A session that sts began and the broker refuses is good at AWS: it is on record.
func TestRefusedSessionsAreOnRecord(t *testing.T) {
	end := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	whole := issued("AssumeRole", end, canary+"-session")
	for name, tt := range map[string]struct{ answer, source, reason, until string }{
		"no session token":   {issued("AssumeRole", end, ""), "", "without a session token or an expiry", providertest.Until(end)},
		"no end":             {strings.ReplaceAll(whole, "<Expiration>"+end.Format(time.RFC3339)+"</Expiration>", ""), "", "without a session token or an expiry", providertest.UntilUnknown},
		"no source identity": {whole, "agent", "without the source identity", providertest.Until(end)},
		"no key id":          {strings.ReplaceAll(whole, "ASIAEXAMPLE", ""), "", "incomplete credential", providertest.Until(end)},
		"no credential":      {`<AssumeRoleResponse><AssumeRoleResult></AssumeRoleResult></AssumeRoleResponse>`, "", "no usable answer", ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := keyed(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
				r.PostForm.Del("SourceIdentity") // which answer repeats
				answer(200, tt.answer)(w, r)
			}).URL)
			c.SourceIdentity = tt.source
			providertest.StaysKnown(t, open(t, c, providers.Env{}), tt.reason, tt.until, canary)
			c = keyed(t, serve(t, answer(200, tt.answer)).URL)
			if c.Chain = []string{"arn:aws:iam::123456789012:role/way"}; tt.source == "" && name != "no key id" { // that a session on the way has none is not seen
				providertest.StaysKnown(t, open(t, c, providers.Env{}), tt.reason, tt.until, canary)
			}
		})
	}
}
