package awssts

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"

	"mintmark/broker/bundle"
	"mintmark/internal/fault"
	"mintmark/providers"
)

const defaultSession = "{subject_path}"

type provider struct {
	config   Config
	template string
	client   *sts.Client
	env      providers.Env
}

// Open returns the provider that cfg registers. It does no network I/O, then or
// later, but to the endpoint: it has no default credential chain and asks no
// metadata service.
func Open(cfg Config, env providers.Env) (providers.Provider, error) {
	if cfg.WebIdentity != nil && env.Self == nil {
		return nil, errors.New("open aws-sts provider: web_identity needs an identity of the broker's own: set trust.workload_api")
	}
	if cfg.WebIdentity == nil && (cfg.AccessKeyID.IsZero() || cfg.SecretAccessKey.IsZero()) {
		return nil, errors.New("open aws-sts provider: got neither web_identity nor an access key, want one")
	}
	roots, err := providers.Roots(cfg.CA)
	if err != nil {
		return nil, fmt.Errorf("open aws-sts provider: %w", err)
	}
	p := &provider{config: cfg, template: cfg.SessionName, env: env}
	if p.template == "" {
		p.template = defaultSession
	}
	options := sts.Options{
		Region:      cfg.Region,
		HTTPClient:  providers.HTTPClient(roots),
		Credentials: aws.CredentialsProviderFunc(p.bootstrap),
		Retryer:     aws.NopRetryer{}, // the Pool retries
	}
	if cfg.Endpoint.URL != nil {
		options.BaseEndpoint = aws.String(cfg.Endpoint.String())
	}
	p.client = sts.New(options)
	return p, nil
}

// PerAgent reports whether the session's name, and so the credential, is the
// agent's own.
func (p *provider) PerAgent() bool { return perAgent(p.template) }

// Mint assumes the role.
func (p *provider) Mint(ctx context.Context, req providers.Request) (providers.Credential, error) {
	assume := p.assumeRole
	if p.config.WebIdentity != nil {
		assume = p.assumeRoleWithWebIdentity
	}
	issued, err := assume(ctx, sessionName(p.template, req.Agent))
	if err != nil {
		return providers.Credential{}, explain(err)
	}
	if issued == nil {
		return providers.Credential{}, fault.New("lease", fault.Unavailable, "sts gave no usable answer")
	}
	if issued.Expiration == nil || aws.ToString(issued.SessionToken) == "" {
		return providers.Credential{}, fault.New("lease", fault.Internal, "sts issued a credential without a session token or an expiry")
	}
	return providers.Seal(providers.AWS, providers.Material{
		AccessKeyID:     aws.ToString(issued.AccessKeyId),
		SecretAccessKey: providers.NewSecret(aws.ToString(issued.SecretAccessKey)),
		SessionToken:    providers.NewSecret(aws.ToString(issued.SessionToken)),
	}, providers.Terms{Scopes: []string{p.config.RoleARN}, NotAfter: *issued.Expiration}), nil
}

func (p *provider) assumeRole(ctx context.Context, session string) (*types.Credentials, error) {
	answer, err := p.client.AssumeRole(ctx, &sts.AssumeRoleInput{
		RoleArn:         &p.config.RoleARN,
		RoleSessionName: &session,
		DurationSeconds: p.seconds(),
		Policy:          optional(p.config.Policy),
	})
	if err != nil {
		return nil, err
	}
	return answer.Credentials, nil
}

func (p *provider) assumeRoleWithWebIdentity(ctx context.Context, session string) (*types.Credentials, error) {
	svid, err := p.env.Self.JWTSVID(ctx, p.config.WebIdentity.Audience)
	if err != nil {
		return nil, fault.Wrap("lease", fault.Unavailable, "the broker has no identity to show to sts", err)
	}
	answer, err := p.client.AssumeRoleWithWebIdentity(ctx, &sts.AssumeRoleWithWebIdentityInput{
		RoleArn:          &p.config.RoleARN,
		RoleSessionName:  &session,
		WebIdentityToken: &svid,
		DurationSeconds:  p.seconds(),
		Policy:           optional(p.config.Policy),
	})
	if err != nil {
		return nil, err
	}
	return answer.Credentials, nil
}

func (p *provider) seconds() *int32 {
	d := p.config.Duration.Duration
	if d == 0 {
		d = minDuration
	}
	return aws.Int32(int32(d / time.Second))
}

// bootstrap reads the broker's own key anew for each request, because it may
// have been rotated.
func (p *provider) bootstrap(context.Context) (aws.Credentials, error) {
	id, err := resolve(p.config.AccessKeyID)
	if err != nil {
		return aws.Credentials{}, err
	}
	secret, err := resolve(p.config.SecretAccessKey)
	return aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}, err
}

func resolve(ref bundle.Ref) (string, error) {
	value, err := ref.Resolve()
	if err != nil {
		return "", fault.Wrap("lease", fault.Internal, "the broker cannot read its own secret for the credential provider", err)
	}
	return value, nil
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
