package awssts_test

import (
	"regexp"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"mintmark/attest"
	"mintmark/providers"
	"mintmark/providers/awssts"
	"mintmark/providers/internal/providertest"
)

// Whatever two agents are called, their names are what AWS allows, and differ
// when the agents do, within one trust domain.
func FuzzSessionName(f *testing.F) {
	for _, seed := range [][2]string{{"/ns/prod/sa/bot", "/ns/prod,sa/bot"}, {"", "/a"}, {"/a/b", "/a.b"}, {"/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "/b"}} {
		f.Add(seed[0], seed[1])
	}
	valid := regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)
	f.Fuzz(func(t *testing.T, a, b string) {
		first, err := spiffeid.FromString("spiffe://a.test" + a)
		if err != nil {
			return
		}
		second, err := spiffeid.FromString("spiffe://a.test" + b)
		if err != nil {
			return
		}
		if first.TrustDomain() != second.TrustDomain() {
			return
		}
		x, err := awssts.SessionName("{subject_path}", request(first).Agent)
		y, err2 := awssts.SessionName("{subject_path}", request(second).Agent)
		if (err != nil) != (first.Path() == "") || (err2 != nil) != (second.Path() == "") {
			t.Errorf("got %v and %v for %s and %s, want an error for one without a path", err, err2, first, second)
		}
		if err != nil || err2 != nil {
			return
		}
		if !valid.MatchString(x) || !valid.MatchString(y) {
			t.Errorf("got names %q and %q, want what AWS allows", x, y)
		}
		if (x == y) != (first == second) {
			t.Errorf("got names %q and %q for %s and %s", x, y, first, second)
		}
	})
}

func request(id spiffeid.ID) providers.Request {
	return providers.Request{Agent: attest.Proven(attest.Proof{ID: id, Attestor: "test"})}
}

// Whatever STS answers, there is a credential or an error that quotes nothing.
func FuzzAnswer(f *testing.F) {
	f.Add(200, []byte(`<AssumeRoleResponse><AssumeRoleResult></AssumeRoleResult></AssumeRoleResponse>`))
	f.Add(403, []byte(`<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>`))
	f.Add(403, []byte(`<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>`))
	f.Add(200, []byte(`<AssumeRoleResponse><AssumeRoleResult><Credentials><Expiration>x</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status < 200 || status > 599 {
			return
		}
		d := serve(t, answer(status, string(body)+canary))
		c, err := open(t, keyed(t, d.URL), providers.Env{}).Mint(t.Context(), providertest.Agent(t, agentID))
		providertest.CheckAnswer(t, c, err, canary)
	})
}

func tryAgent(id string) (providers.Request, bool) {
	parsed, err := spiffeid.FromString(id)
	return request(parsed), err == nil
}
