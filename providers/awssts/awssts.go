package awssts

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"

	"mintmark/attest"
	"mintmark/broker/bundle"
	"mintmark/internal/fault"
	"mintmark/providers"
)

const defaultSession = "{subject_path}"

type provider struct {
	config   Config
	template string
	options  sts.Options
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
	p.options = sts.Options{
		Region:      cfg.Region,
		HTTPClient:  wrapped{providers.HTTPClient(roots)},
		Credentials: aws.CredentialsProviderFunc(p.bootstrap),
		Retryer:     aws.NopRetryer{}, // the Pool retries
	}
	if cfg.Endpoint.URL != nil {
		p.options.BaseEndpoint = aws.String(cfg.Endpoint.String())
	}
	return p, nil
}

// client returns one for a request: its signer keeps the key that it derived for the day
// and knows it by the access key's id, which stays where a secret alone is replaced.
func (p *provider) client() *sts.Client { return sts.New(p.options) }

// where names who is asked, for a message.
func (p *provider) where() string {
	if at := aws.ToString(p.options.BaseEndpoint); at != "" {
		return at
	}
	return "the endpoint of region " + p.options.Region
}

// PerAgent reports whether anything of the session, and so the credential, is
// the agent's own.
func (p *provider) PerAgent() bool {
	templates := slices.Collect(maps.Values(p.config.Tags))
	return providers.PerAgent(append(templates, p.template, p.config.SourceIdentity, p.config.Policy)...)
}

// Mint assumes the role, after those of the chain.
func (p *provider) Mint(ctx context.Context, req providers.Request) (providers.Credential, error) {
	last, err := p.wanted(req.Agent)
	if err != nil {
		return providers.Credential{}, err
	}
	var issued *types.Credentials
	for _, role := range p.config.Chain {
		// A session on the way does nothing but begin the next.
		way := &sts.AssumeRoleInput{RoleArn: &role, RoleSessionName: last.RoleSessionName, DurationSeconds: seconds(minDuration)}
		if issued, err = p.assume(ctx, way, issued); err != nil {
			return sealed(role, issued), err
		}
	}
	issued, err = p.assume(ctx, last, issued)
	return sealed(p.config.RoleARN, issued), err
}

// sealed returns a session of role, of which something may be missing, and none where sts
// issued none.
func sealed(role string, issued *types.Credentials) providers.Credential {
	if issued == nil || aws.ToString(issued.SecretAccessKey) == "" {
		return providers.Credential{}
	}
	return providers.Seal(providers.AWS, providers.Material{
		AccessKeyID:     aws.ToString(issued.AccessKeyId),
		SecretAccessKey: providers.NewSecret(aws.ToString(issued.SecretAccessKey)),
		SessionToken:    providers.NewSecret(aws.ToString(issued.SessionToken)),
	}, providers.Terms{Scopes: []string{role}, NotAfter: aws.ToTime(issued.Expiration)})
}

// wanted is the session that the agent is to have.
func (p *provider) wanted(agent attest.Identity) (*sts.AssumeRoleInput, error) {
	policy, err := providers.FillName(p.config.Policy, agent)
	if err != nil {
		return nil, err
	}
	tags, err := sessionTags(p.config.Tags, agent)
	if err != nil {
		return nil, err
	}
	name, err := sessionName(p.template, agent)
	if err != nil {
		return nil, err
	}
	in := &sts.AssumeRoleInput{
		RoleArn:           &p.config.RoleARN,
		RoleSessionName:   &name,
		DurationSeconds:   seconds(p.config.Duration.Duration),
		ExternalId:        optional(p.config.ExternalID),
		Policy:            optional(policy),
		Tags:              tags,
		TransitiveTagKeys: p.config.TransitiveTags,
	}
	if p.config.SourceIdentity != "" {
		source, err := sessionName(p.config.SourceIdentity, agent)
		if err != nil {
			return nil, err
		}
		in.SourceIdentity = &source
	}
	for _, arn := range p.config.PolicyARNs {
		in.PolicyArns = append(in.PolicyArns, types.PolicyDescriptorType{Arn: &arn})
	}
	return in, nil
}

// assume begins a session with the one before it, or with what the broker has
// of its own. Its errors are explained, and its session is whole; with an error comes one
// that sts began all the same.
func (p *provider) assume(ctx context.Context, in *sts.AssumeRoleInput, before *types.Credentials) (*types.Credentials, error) {
	var issued *types.Credentials
	var err error
	switch {
	case before != nil:
		issued, err = p.assumeRole(ctx, in, func(o *sts.Options) { o.Credentials = session(before) })
	case p.config.WebIdentity != nil:
		issued, err = p.assumeRoleWithWebIdentity(ctx, in)
	default:
		issued, err = p.assumeRole(ctx, in)
	}
	if err != nil {
		return issued, explain(*in.RoleArn, aws.ToString(p.options.BaseEndpoint), err)
	}
	if issued == nil {
		return nil, fault.Wrap("lease", fault.Unavailable, "sts gave no usable answer",
			fmt.Errorf("assume %s: got an answer without a credential: is it sts that answers at %s?", *in.RoleArn, p.where()))
	}
	if issued.Expiration == nil || aws.ToString(issued.SessionToken) == "" {
		return issued, fault.Wrap("lease", fault.Internal, "sts issued a credential without a session token or an expiry",
			fmt.Errorf("assume %s: is it sts that answers at %s?", *in.RoleArn, p.where()))
	}
	return issued, nil
}

// session signs with a session that was issued.
func session(issued *types.Credentials) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{
			AccessKeyID:     aws.ToString(issued.AccessKeyId),
			SecretAccessKey: aws.ToString(issued.SecretAccessKey),
			SessionToken:    aws.ToString(issued.SessionToken),
		}, nil
	})
}

func (p *provider) assumeRole(ctx context.Context, in *sts.AssumeRoleInput, options ...func(*sts.Options)) (*types.Credentials, error) {
	answer, err := p.client().AssumeRole(ctx, in, options...)
	if err != nil {
		return nil, err
	}
	// AWS repeats it. A server that does not know it begins a session without it.
	if in.SourceIdentity != nil && aws.ToString(answer.SourceIdentity) != *in.SourceIdentity {
		return answer.Credentials, fault.New("lease", fault.Internal, "sts began a session without the source identity that it was asked for")
	}
	return answer.Credentials, nil
}

func (p *provider) assumeRoleWithWebIdentity(ctx context.Context, in *sts.AssumeRoleInput) (*types.Credentials, error) {
	svid, err := p.env.Self.JWTSVID(ctx, p.config.WebIdentity.Audience)
	if err != nil {
		return nil, fault.Wrap("lease", fault.Unavailable, "the broker has no identity to show to sts", err)
	}
	answer, err := p.client().AssumeRoleWithWebIdentity(ctx, &sts.AssumeRoleWithWebIdentityInput{
		RoleArn:          in.RoleArn,
		RoleSessionName:  in.RoleSessionName,
		WebIdentityToken: &svid,
		DurationSeconds:  in.DurationSeconds,
		Policy:           in.Policy,
		PolicyArns:       in.PolicyArns,
	})
	if err != nil {
		return nil, err
	}
	return answer.Credentials, nil
}

func seconds(d time.Duration) *int32 {
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
