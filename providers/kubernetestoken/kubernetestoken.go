package kubernetestoken

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"mintmark/internal/fault"
	"mintmark/providers"
	"mintmark/providers/internal/jsonhttp"
)

const system = "kubernetes"

type provider struct {
	config Config
	url    string
	client jsonhttp.Client
	env    providers.Env
}

// Open returns the provider that cfg registers. It does no network I/O.
func Open(cfg Config, env providers.Env) (providers.Provider, error) {
	if n := cfg.Auth.ways(); n != 1 {
		return nil, fmt.Errorf("open kubernetes-token provider: got %d ways to log in, want one", n)
	}
	if cfg.Auth.Token.IsZero() && env.Self == nil {
		return nil, errors.New("open kubernetes-token provider: auth needs an identity of the broker's own: set trust.workload_api")
	}
	roots, err := providers.Roots(cfg.CA)
	if err != nil {
		return nil, fmt.Errorf("open kubernetes-token provider: %w", err)
	}
	client := providers.HTTPClient(roots)
	if cfg.Auth.Certificate {
		client = providers.HTTPClientAs(roots, env.Self)
	}
	return &provider{
		config: cfg,
		url:    strings.TrimSuffix(cfg.Address.String(), "/") + "/api/v1/namespaces/" + cfg.Namespace + "/serviceaccounts/" + cfg.ServiceAccount + "/token",
		client: jsonhttp.Client{System: system, HTTP: client, Explain: explain},
		env:    env,
	}, nil
}

// tokenRequest is authentication.k8s.io/v1 TokenRequest, as it is asked.
type tokenRequest struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Spec       spec   `json:"spec"`
}

type spec struct {
	Audiences         []string `json:"audiences,omitempty"`
	ExpirationSeconds int64    `json:"expirationSeconds"`
	BoundObjectRef    *bound   `json:"boundObjectRef,omitempty"`
}

type bound struct {
	Kind       string `json:"kind"`
	APIVersion string `json:"apiVersion"`
	Name       string `json:"name"`
	UID        string `json:"uid,omitempty"`
}

// Mint asks for a token.
func (p *provider) Mint(ctx context.Context, _ providers.Request) (providers.Credential, error) {
	r, err := jsonhttp.JSON(ctx, p.url, p.request())
	if err != nil {
		return providers.Credential{}, err
	}
	if err := p.logIn(ctx, r); err != nil {
		return providers.Credential{}, err
	}
	var answer struct {
		Status struct {
			Token               string         `json:"token"`
			ExpirationTimestamp jsontext.Value `json:"expirationTimestamp"` // read after the token, which is good whatever this is
		} `json:"status"`
	}
	err = p.client.Do(r, &answer)
	if answer.Status.Token == "" {
		return providers.Credential{}, cmp.Or(err, p.client.Missing(r, "a token"))
	}
	end := jsonhttp.Time(answer.Status.ExpirationTimestamp)
	if err == nil && end.IsZero() {
		err = p.client.Missing(r, "an end")
	}
	return providers.Seal(providers.Token, providers.Material{Token: providers.NewSecret(answer.Status.Token)}, providers.Terms{
		Scopes:   []string{"system:serviceaccount:" + p.config.Namespace + ":" + p.config.ServiceAccount},
		NotAfter: end,
	}), err
}

func (p *provider) request() tokenRequest {
	ttl := p.config.TTL.Duration
	if ttl == 0 {
		ttl = defaultTTL
	}
	ask := tokenRequest{APIVersion: "authentication.k8s.io/v1", Kind: "TokenRequest", Spec: spec{
		Audiences: p.config.Audiences, ExpirationSeconds: int64(ttl / time.Second),
	}}
	if b := p.config.BoundObject; b != nil {
		ask.Spec.BoundObjectRef = &bound{Kind: b.Kind, APIVersion: "v1", Name: b.Name, UID: b.UID}
	}
	return ask
}

// logIn puts on r what shows who the broker is; a certificate is shown by the
// connection.
func (p *provider) logIn(ctx context.Context, r *http.Request) error {
	var token string
	var err error
	switch auth := p.config.Auth; {
	case auth.Certificate:
		return nil
	case auth.JWT != nil:
		if token, err = jsonhttp.Assertion(ctx, p.env.Self, auth.JWT.Audience, system); err != nil {
			return err
		}
	default:
		if token, err = auth.Token.Resolve(); err != nil {
			return fault.Wrap("lease", fault.Internal, "the broker cannot read its own secret for the credential provider", err)
		}
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return nil
}

// explain says what an operator compares.
func explain(status int, answer []byte) string {
	said := read(answer)
	switch status {
	case http.StatusUnauthorized:
		return "compare auth with what the API server accepts"
	case http.StatusForbidden:
		return said.forbidden()
	case http.StatusNotFound:
		return said.absent()
	case http.StatusConflict:
		return "compare bound_object.uid"
	case http.StatusBadRequest:
		return "compare ttl and bound_object, where a Pod has to run as this service account"
	case http.StatusUnprocessableEntity:
		return "compare ttl and bound_object"
	}
	return ""
}

// refusal is the part of a meta/v1 Status that chooses between words of ours.
type refusal struct {
	Message string `json:"message"`
	Details struct {
		Kind string `json:"kind"`
	} `json:"details"`
}

// read returns an empty refusal of what is none.
func read(answer []byte) refusal {
	var r refusal
	if json.Unmarshal(answer, &r) != nil {
		return refusal{}
	}
	return r
}

func (r refusal) forbidden() string {
	if strings.Contains(r.Message, `User "system:anonymous"`) {
		return "the API server saw no user: the broker's X.509-SVID needs a common name, and nothing before the server may end TLS"
	}
	return "the broker's user needs the verb create on serviceaccounts/token of this service account"
}

// absent says what there is not, by the resource that the server names.
func (r refusal) absent() string {
	switch r.Details.Kind {
	case "serviceaccounts":
		return "there is no such service account in this namespace"
	case "pods", "secrets", "nodes":
		return "there is no such bound_object"
	}
	return "compare namespace, service_account and bound_object"
}
