package oauth_test

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"mintmark/internal/fault"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
	"mintmark/providers/oauth"
)

const assertionGrant = `{"access_token":"the-grant","token_type":"N_A","issued_token_type":"urn:ietf:params:oauth:token-type:id-jag"}`

// teller is an authorization server that gives one answer, and notes what it is to revoke.
type server struct {
	answer string
	status int // of a revocation; 0: it has no endpoint for it

	mu      sync.Mutex
	revoked []string
}

func (i *server) ended() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.revoked)
}

// start returns the registration of a client, which finds the endpoints by the metadata.
func (i *server) start(t *testing.T) oauth.Config {
	t.Helper()
	var c oauth.Config
	var url string
	c = serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/token":
			ok(i.answer)(w, r)
		case "/revoke":
			i.mu.Lock()
			defer i.mu.Unlock()
			i.revoked = append(i.revoked, r.FormValue("token"))
			w.WriteHeader(i.status)
		default:
			revocation := ""
			if i.status != 0 {
				revocation = `,"revocation_endpoint":"` + url + `/revoke"`
			}
			ok(`{"issuer":"`+url+`","token_endpoint":"`+url+`/token"`+revocation+`}`)(w, r)
		}
	})
	url = strings.TrimSuffix(c.TokenURL.String(), "/token")
	c.Issuer, c.TokenURL.URL = providertest.URL(t, url), nil
	return c
}

// with has c show what idp asserts.
func with(t *testing.T, c oauth.Config, idp *server) oauth.Config {
	t.Helper()
	c.IDJAG = &oauth.IDJAG{
		IDP:     oauth.IDP{Issuer: idp.start(t).Issuer, ClientID: "at-the-idp", AuthStyle: "none"},
		Subject: oauth.Source{Token: providertest.Ref(t, "id-token")},
	}
	return c
}

// What the identity provider issued in place of an assertion is good there: it is ended
// there, and the record of the mint that failed says what became of it.
func TestWhatIsNoAssertionIsRevokedAtItsIdentityProvider(t *testing.T) {
	const another = "got another: "
	for name, tt := range map[string]struct {
		rest   string
		status int
		kind   fault.Kind
		reason string
	}{
		"an access token":           {`"token_type":"Bearer","issued_token_type":"urn:ietf:params:oauth:token-type:access_token"`, 200, fault.Internal, another + "it is revoked"},
		"of no type":                {`"token_type":"N_A"`, 200, fault.Internal, another + "it is revoked"},
		"a type that is no text":    {`"token_type":"N_A","issued_token_type":["urn:ietf:params:oauth:token-type:id-jag"]`, 200, fault.Internal, another + "it is revoked"},
		"a kind that is no text":    {`"token_type":["N_A"],"issued_token_type":"urn:ietf:params:oauth:token-type:id-jag"`, 200, fault.Unavailable, "it is revoked"},
		"cut off":                   {`"token_type":"N_A","issued_token_type":`, 200, fault.Unavailable, "it is revoked"},
		"an error beside it":        {`"token_type":"N_A","error":"invalid_target"`, 200, fault.Internal, "it is revoked"},
		"it fails to revoke":        {`"token_type":"Bearer"`, 503, fault.Internal, another + "it is not revoked, and ends by itself"},
		"it has no endpoint for it": {`"token_type":"Bearer"`, 0, fault.Internal, another + "it can't be revoked there"},
	} {
		t.Run(name, func(t *testing.T) {
			idp, resource := &server{answer: `{"access_token":"` + canary + `",` + tt.rest + `}`, status: tt.status}, &server{answer: bearer, status: 200}
			r := providertest.One(t, open(t, with(t, resource.start(t), idp), providers.Env{}), canary)
			r.Refused(t, providers.Request{}, tt.kind)
			r.Stop(t)
			if got := idp.ended(); (tt.status != 0) != slices.Equal(got, []string{canary}) || len(resource.ended()) != 0 {
				t.Errorf("got %d tokens revoked there and %d at the resource's server, want the one there alone", len(got), len(resource.ended()))
			}
			if got := r.Events(t); got != "mint_failed" {
				t.Errorf("events: got %q, want mint_failed", got)
			}
			if got := r.Records(t)[0].Reason; !strings.Contains(got, tt.reason) {
				t.Errorf("got the reason %q, want %q", got, tt.reason)
			}
		})
	}
}

// An assertion for which the resource's server gave nothing is good until it ends: it is
// ended at its identity provider where that can be, and the record says what became of it.
func TestAnAssertionThatIsRefusedIsRevokedAtItsIdentityProvider(t *testing.T) {
	const of = "; of the identity provider's assertion: "
	for name, tt := range map[string]struct {
		answer string // of the resource's server
		status int    // of the revocation
		kind   fault.Kind
		reason string
		told   bool
	}{
		"refused":                 {`{"error":"invalid_grant"}`, 200, fault.Internal, of + "it is revoked", true},
		"no token":                {`{}`, 200, fault.Unavailable, of + "it is revoked", true},
		"it fails to revoke":      {`{"error":"invalid_grant"}`, 503, fault.Internal, of + "it is not revoked, and ends by itself", true},
		"no endpoint to do it at": {`{"error":"invalid_grant"}`, 0, fault.Internal, "invalid_grant", false},
	} {
		t.Run(name, func(t *testing.T) {
			idp, resource := &server{answer: assertionGrant, status: tt.status}, &server{answer: tt.answer, status: 200}
			r := providertest.One(t, open(t, with(t, resource.start(t), idp), providers.Env{}), canary)
			r.Refused(t, providers.Request{}, tt.kind)
			r.Stop(t)
			got := idp.ended()
			if tt.told != (len(got) > 0) || tt.told && got[0] != "the-grant" || len(resource.ended()) != 0 {
				t.Errorf("got %q revoked there and %d at the resource's server, want the assertion there: %t", got, len(resource.ended()), tt.told)
			}
			reason := r.Records(t)[0].Reason
			if !strings.Contains(reason, tt.reason) || strings.Contains(reason, of) != tt.told || strings.Contains(reason, "the-grant") {
				t.Errorf("got the reason %q, want %q", reason, tt.reason)
			}
		})
	}
}

// What the resource's server issued for an assertion and the broker refuses is revoked at
// that server, and the identity provider hears nothing of it.
func TestRefusedTokensOfAnAssertionAreRevokedAtTheirServer(t *testing.T) {
	for name, tt := range map[string]struct{ token, rest string }{
		"another kind of token":  {canary, `"token_type":"DPoP","expires_in":60`},
		"no life":                {canary, `"token_type":"Bearer","expires_in":0`},
		"a life that is no text": {canary, `"token_type":"Bearer","expires_in":[60]`},
		"too long":               {strings.Repeat("c4nary-", 10_000), `"token_type":"Bearer","expires_in":60`},
	} {
		t.Run(name, func(t *testing.T) {
			idp, resource := &server{answer: assertionGrant, status: 200}, &server{answer: `{"access_token":"` + tt.token + `",` + tt.rest + `}`, status: 200}
			r := providertest.One(t, open(t, with(t, resource.start(t), idp), providers.Env{}), tt.token)
			if leased, _, err := r.Lease(t.Context(), "db", providers.Request{}); err == nil || !leased.IsZero() {
				t.Errorf("got %v and %v, want no credential", leased, err)
			}
			r.Stop(t)
			if got := r.Events(t); got != "mint_failed revoke" {
				t.Errorf("events: got %q, want it revoked on record", got)
			}
			if got := r.Records(t)[0]; got.Credential == "" || got.Fingerprint == "" || got.Reason == "" {
				t.Errorf("got the record %+v, want the token that was issued on it", got)
			}
			if got := resource.ended(); !slices.Equal(got, []string{tt.token}) || len(idp.ended()) != 0 {
				t.Errorf("got %d tokens revoked, and %d at the identity provider, want the one at its server", len(got), len(idp.ended()))
			}
		})
	}
}
