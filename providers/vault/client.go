package vault

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"mintmark/broker/bundle"
	"mintmark/internal/fault"
	"mintmark/providers"
)

// maxFile bounds a key, a certificate or a token in a file.
const maxFile = 64 << 10

// newClient returns a client that takes nothing from VAULT_* variables, which
// api.NewClient reads whatever its configuration says, and that does not retry:
// the Pool does.
func newClient(cfg Config, httpClient *http.Client, namespace string) (*api.Client, error) {
	client, err := api.NewClient(&api.Config{
		Address:          cfg.Address.String(),
		HttpClient:       httpClient,
		Timeout:          10 * time.Second,
		DisableRedirects: true,
	})
	if err != nil { // its text may quote the environment
		return nil, fmt.Errorf("make client: got a malformed VAULT_* environment variable, want none: the broker reads none of them, its library does")
	}
	client.ClearToken()
	client.SetHeaders(http.Header{api.RequestHeaderName: {"true"}})
	client.SetWrappingLookupFunc(func(_, _ string) string { return "" })
	if namespace != "" && namespace != "root" { // the root namespace has no name of its own
		client.SetNamespace(namespace)
	}
	return client, nil
}

// newClients returns the client for credentials, and the one for logins, which
// is in the namespace of the auth method and shows the broker's certificate.
func newClients(cfg Config, env providers.Env) (client, auth *api.Client, err error) {
	roots, err := providers.Roots(cfg.CA)
	if err != nil {
		return nil, nil, err
	}
	plain := newHTTPClient(&tls.Config{RootCAs: roots, ServerName: cfg.ServerName})
	shown := plain
	if cfg.Auth.Cert != nil {
		shown = newHTTPClient(&tls.Config{RootCAs: roots, ServerName: cfg.ServerName,
			GetClientCertificate: func(r *tls.CertificateRequestInfo) (*tls.Certificate, error) {
				return cfg.Auth.Cert.load(r.Context(), env.Self)
			}})
	}
	if client, err = newClient(cfg, plain, cfg.Namespace); err != nil {
		return nil, nil, err
	}
	auth, err = newClient(cfg, shown, or(cfg.Auth.Namespace, cfg.Namespace))
	return client, auth, err
}

func newHTTPClient(c *tls.Config) *http.Client {
	client := providers.TLSClient(c)
	client.Transport = heeding{client.Transport}
	return client
}

// load returns the certificate that the broker logs in with. Its errors are
// explained.
func (c Cert) load(ctx context.Context, self providers.IdentitySource) (*tls.Certificate, error) {
	if c.Certificate == "" {
		own, err := providers.OwnCertificate(ctx, self)
		if err != nil {
			return nil, fault.Wrap("lease", fault.Unavailable, "the broker has no identity to show to vault", err)
		}
		return own, nil
	}
	certificate, err := c.Certificate.Read(maxFile)
	if err != nil {
		return nil, fault.Wrap("lease", fault.Internal, ownSecret, err)
	}
	private, err := c.Key.Read(maxFile)
	if err != nil {
		return nil, fault.Wrap("lease", fault.Internal, ownSecret, err)
	}
	chain, key, err := pair(string(certificate), string(private))
	if err != nil {
		return nil, fault.Wrap("lease", fault.Internal, ownSecret, err)
	}
	return &tls.Certificate{Certificate: chain, PrivateKey: key}, nil
}

const ownSecret = "the broker cannot read its own secret for the credential provider"

// resolve reads a secret of the broker's own.
func resolve(ref bundle.Ref) (string, error) {
	value, err := ref.Resolve()
	if err != nil {
		return "", fault.Wrap("lease", fault.Internal, ownSecret, err)
	}
	return value, nil
}

// serviceAccount reads the token that Kubernetes keeps up to date in a file.
func (k Kubernetes) serviceAccount() (string, error) {
	path := k.TokenFile
	if path == "" {
		path = "/var/run/secrets/kubernetes.io/serviceaccount/token"
	}
	token, err := path.Read(maxFile)
	if err != nil {
		return "", fault.Wrap("lease", fault.Internal, ownSecret, err)
	}
	return strings.TrimSpace(string(token)), nil
}

func or(value, fallback string) string {
	if value == "" {
		return fallback
	}
	return value
}
