package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"mintmark/providers"
)

const protected = "the metadata of the protected resource"

// resourceMetadata is what Mintmark reads of RFC 9728, section 2.
type resourceMetadata struct {
	Resource string   `json:"resource"`
	Servers  []string `json:"authorization_servers"`
}

// resourceIssuer returns the issuer that the resource's metadata names: the
// configured one where there is one, else the only one. The metadata must be of
// exactly that resource (RFC 9728, section 3.3).
func (d *discovery) resourceIssuer(ctx context.Context) (string, error) {
	m, location, said, err := d.resourceMetadata(ctx)
	issuer := ""
	if err == nil {
		issuer, err = d.named(m)
	} else {
		err = misled(protected, err)
	}
	if said {
		return issuer, providers.AskedHost(http.MethodGet, location, err)
	}
	return issuer, providers.Asked(http.MethodGet, location, err)
}

// named returns the issuer that m names, or why it names none that is asked.
func (d *discovery) named(m resourceMetadata) (string, error) {
	if m.Resource != d.resource {
		return "", misled(protected, fmt.Errorf("expected resource %q, got another", d.resource))
	}
	if d.issuer != "" {
		if !slices.Contains(m.Servers, d.issuer) {
			return "", misled(protected, fmt.Errorf("expected issuer %q among authorization_servers, got %d others: ask the resource's operator which it is", d.issuer, len(m.Servers)))
		}
		return d.issuer, nil
	}
	if len(m.Servers) != 1 {
		return "", misled(protected, fmt.Errorf("expected one of authorization_servers, got %d: name one as issuer", len(m.Servers)))
	}
	if err := fit(m.Servers[0], d.resource); err != nil {
		return "", misled(protected, fmt.Errorf("authorization_servers: %w", err))
	}
	return m.Servers[0], nil
}

// resourceMetadata reads it from its place below /.well-known, or from where the
// resource says when it is asked without a token, or from the host's own place. It
// returns also where that was, and whether the resource said so.
func (d *discovery) resourceMetadata(ctx context.Context) (m resourceMetadata, location string, said bool, err error) {
	u, err := url.Parse(d.resource)
	if err != nil {
		return m, d.resource, false, err
	}
	root := u.Scheme + "://" + u.Host + "/.well-known/oauth-protected-resource"
	own := root + strings.TrimSuffix(u.EscapedPath(), "/")
	if err = d.get(ctx, own, &m); !errors.Is(err, errAbsent) {
		return m, own, false, err
	}
	if pointed := d.challenged(ctx, u); pointed != "" {
		err = d.get(ctx, pointed, &m)
		return m, pointed, true, err
	}
	if own == root {
		return m, own, false, err
	}
	err = d.get(ctx, root, &m)
	return m, root, false, err
}

// challenged asks the resource without a token and returns where it says that its
// metadata is, or "". What has no GET, as an MCP server may, is asked by POST.
func (d *discovery) challenged(ctx context.Context, resource *url.URL) string {
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		r, err := http.NewRequestWithContext(ctx, method, resource.String(), nil)
		if err != nil {
			return ""
		}
		answer, err := d.client.Do(r)
		if err != nil {
			return ""
		}
		_ = answer.Body.Close() // not read
		if answer.StatusCode == http.StatusUnauthorized {
			return pointed(answer.Header, resource)
		}
	}
	return ""
}

// pointed returns the resource_metadata of a challenge (RFC 9728, section 5.1). Only
// the resource's own host may hold it.
func pointed(head http.Header, resource *url.URL) string {
	for _, challenge := range head.Values("WWW-Authenticate") {
		said := regexp.MustCompile(`(?i)(?:^|[\s,])resource_metadata="([^"\\]+)"`).FindStringSubmatch(challenge)
		if said == nil {
			continue
		}
		if u, err := url.Parse(said[1]); err == nil && u.Scheme == resource.Scheme && u.Host == resource.Host && u.User == nil {
			return u.String()
		}
	}
	return ""
}
