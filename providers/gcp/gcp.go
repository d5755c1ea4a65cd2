package gcp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"mintmark/providers"
	"mintmark/providers/internal/jsonhttp"
)

const (
	sts = "google sts"
	iam = "google iam"
)

type provider struct {
	config          Config
	tokenURL        string
	impersonateURL  string
	subjectAudience string
	scopes          []string
	sts, iam        jsonhttp.Client
	env             providers.Env
}

// Open returns the provider that cfg registers. It does no network I/O.
func Open(cfg Config, env providers.Env) (providers.Provider, error) {
	if env.Self == nil {
		return nil, errors.New("open gcp provider: it needs an identity of the broker's own: set trust.workload_api")
	}
	roots, err := providers.Roots(cfg.CA)
	if err != nil {
		return nil, fmt.Errorf("open gcp provider: %w", err)
	}
	universe := or(cfg.Universe, defaultUniverse)
	client := providers.HTTPClient(roots)
	p := &provider{
		config:          cfg,
		tokenURL:        or(cfg.TokenURL.String(), "https://sts."+universe+"/v1/token"),
		subjectAudience: or(cfg.SubjectAudience, "https:"+cfg.Audience),
		scopes:          cfg.Scopes,
		sts:             jsonhttp.Client{System: sts, HTTP: client, Explain: explainExchange},
		iam:             jsonhttp.Client{System: iam, HTTP: client, Explain: explainImpersonation},
		env:             env,
	}
	if len(p.scopes) == 0 {
		p.scopes = []string{cloudPlatform}
	}
	if cfg.Impersonate != nil {
		base := strings.TrimSuffix(or(cfg.IAMURL.String(), "https://iamcredentials."+universe), "/")
		p.impersonateURL = base + "/v1/" + account(cfg.Impersonate.ServiceAccount) + ":generateAccessToken"
	}
	return p, nil
}

func or(s, other string) string {
	if s != "" {
		return s
	}
	return other
}

func account(email string) string { return "projects/-/serviceAccounts/" + email }

// Mint exchanges the broker's JWT-SVID for a token (RFC 8693), and that for one of
// the service account where there is one to become.
func (p *provider) Mint(ctx context.Context, _ providers.Request) (providers.Credential, error) {
	svid, err := jsonhttp.Assertion(ctx, p.env.Self, p.subjectAudience, sts)
	if err != nil {
		return providers.Credential{}, err
	}
	start := p.env.Now()
	scopes := p.scopes
	if p.config.Impersonate != nil {
		scopes = []string{cloudPlatform} // to become another; what that one may do is asked for then
	}
	federated, err := p.exchange(ctx, svid, scopes)
	if federated.Value.IsZero() {
		return providers.Credential{}, err
	}
	if p.config.Impersonate != nil && err == nil {
		return p.impersonate(ctx, federated)
	}
	return providers.Seal(providers.Token, providers.Material{Token: federated.Value}, providers.Terms{
		Scopes:   scopes,
		NotAfter: federated.End(start),
	}), err
}

func (p *provider) exchange(ctx context.Context, svid string, scopes []string) (jsonhttp.Token, error) {
	r, err := jsonhttp.Form(ctx, p.tokenURL, url.Values{
		"grant_type":           {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"audience":             {p.config.Audience},
		"scope":                {strings.Join(scopes, " ")},
		"requested_token_type": {"urn:ietf:params:oauth:token-type:access_token"},
		"subject_token":        {svid},
		"subject_token_type":   {"urn:ietf:params:oauth:token-type:jwt"},
	})
	if err != nil {
		return jsonhttp.Token{}, err
	}
	return p.sts.Token(r)
}

// become is the request for a service account's token.
type become struct {
	Delegates []string `json:"delegates,omitempty"`
	Scope     []string `json:"scope"`
	Lifetime  string   `json:"lifetime"`
}

func (p *provider) impersonate(ctx context.Context, federated jsonhttp.Token) (providers.Credential, error) {
	as := p.config.Impersonate
	ask := become{Scope: p.scopes, Lifetime: seconds(as.Lifetime.Duration)}
	for _, d := range as.Delegates {
		ask.Delegates = append(ask.Delegates, account(d))
	}
	r, err := jsonhttp.JSON(ctx, p.impersonateURL, ask)
	if err != nil {
		return providers.Credential{}, err
	}
	federated.Authorize(r)
	var answer struct {
		AccessToken string         `json:"accessToken"`
		ExpireTime  jsontext.Value `json:"expireTime"` // read after the token, which is good whatever this is
	}
	err = p.iam.Do(r, &answer)
	if answer.AccessToken == "" {
		return providers.Credential{}, cmp.Or(err, p.iam.Missing(r, "a token"))
	}
	end := jsonhttp.Time(answer.ExpireTime)
	if err == nil && end.IsZero() {
		err = p.iam.Missing(r, "an end")
	}
	return providers.Seal(providers.Token, providers.Material{Token: providers.NewSecret(answer.AccessToken)}, providers.Terms{
		Scopes:   p.scopes,
		NotAfter: end,
	}), err
}

func seconds(d time.Duration) string {
	if d == 0 {
		d = time.Hour
	}
	return strconv.Itoa(int(d/time.Second)) + "s"
}

// explainExchange says what an operator compares.
func explainExchange(_ int, answer []byte) string {
	switch code := jsonhttp.Code(answer); code {
	case "invalid_grant":
		return code + ": the pool's provider does not take the broker's JWT-SVID: compare its issuer, audiences and attribute condition"
	case "invalid_target":
		return code + ": compare audience"
	default:
		return code
	}
}

func explainImpersonation(status int, _ []byte) string {
	switch status {
	case http.StatusForbidden:
		return "the pool's principal needs roles/iam.workloadIdentityUser on the service account"
	case http.StatusNotFound:
		return "compare impersonate.service_account"
	case http.StatusBadRequest:
		return "compare scopes and impersonate.lifetime"
	}
	return ""
}
