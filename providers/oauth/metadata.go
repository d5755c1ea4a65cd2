package oauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"mintmark/broker/bundle"
	"mintmark/internal/fault"
	"mintmark/providers"
)

// endpoints is where an authorization server is asked.
type endpoints struct {
	issuer     string // "" where an operator named the endpoints
	token      string
	revocation string // "" where there is none
}

// asked names in err what was asked of e: of what a document named, the host alone.
func (e endpoints) asked(address string, err error) error {
	if e.issuer != "" {
		return providers.AskedHost(http.MethodPost, address, err)
	}
	return providers.Asked(http.MethodPost, address, err)
}

// metadata is what Mintmark reads of RFC 8414, section 2, and RFC 8705, section 5.
type metadata struct {
	Issuer     string   `json:"issuer"`
	Token      string   `json:"token_endpoint"`
	Revocation string   `json:"revocation_endpoint"`
	DPoP       []string `json:"dpop_signing_alg_values_supported"`
	MTLS       struct {
		Token      string `json:"token_endpoint"`
		Revocation string `json:"revocation_endpoint"`
	} `json:"mtls_endpoint_aliases"`
}

// errMisfit is of a document that is there and is not what it should be.
var errMisfit = fmt.Errorf("%w of the kind that was asked for", errNotJSON)

// errAbsent says that there is no such document.
var errAbsent = errors.New("there is none")

// serverMetadata returns the endpoints of the server that issuer names. Whatever
// document is found must name exactly that issuer, so that one server cannot
// speak for another (RFC 8414, section 3.3).
func (d *discovery) serverMetadata(ctx context.Context, issuer string) (endpoints, error) {
	locations := serverLocations(issuer)
	for _, location := range locations {
		var m metadata
		err := d.get(ctx, location, &m)
		if errors.Is(err, errAbsent) {
			continue
		}
		if err != nil {
			return endpoints{}, d.asked(location, misled("the metadata of "+server, err))
		}
		found, err := d.endpoints(issuer, m)
		return found, d.asked(location, err)
	}
	where := strings.Join(locations, ", ")
	if d.issuer == "" {
		where = providers.Origin(issuer) + ", which the metadata of the resource names"
	}
	return endpoints{}, misled("the metadata of "+server, fmt.Errorf("%w at %s: compare issuer, or name token_url", errAbsent, where))
}

// asked names in err which metadata was asked for: the host alone where no operator
// wrote the issuer, but a document.
func (d *discovery) asked(location string, err error) error {
	if d.issuer == "" {
		return providers.AskedHost(http.MethodGet, location, err)
	}
	return providers.Asked(http.MethodGet, location, err)
}

// serverLocations returns where metadata may be: RFC 8414, section 3.1, then
// section 5, for what OpenID Connect servers do.
func serverLocations(issuer string) []string {
	u, err := url.Parse(issuer)
	if err != nil {
		return nil
	}
	base, path := u.Scheme+"://"+u.Host, strings.TrimSuffix(u.EscapedPath(), "/")
	all := []string{base + "/.well-known/oauth-authorization-server" + path, base + "/.well-known/openid-configuration" + path}
	if path != "" {
		all = append(all, base+path+"/.well-known/openid-configuration")
	}
	return all
}

// endpoints checks m and takes from it what the broker asks.
func (d *discovery) endpoints(issuer string, m metadata) (endpoints, error) {
	if m.Issuer != issuer {
		want := fmt.Sprintf("issuer %q", issuer)
		if d.issuer == "" {
			want = "the issuer that the metadata of the resource names"
		}
		return endpoints{}, misled("the metadata of "+server, fmt.Errorf("expected %s, got another", want))
	}
	at := endpoints{issuer: issuer, token: m.Token, revocation: m.Revocation}
	if d.mtls {
		at.token, at.revocation = or(m.MTLS.Token, at.token), or(m.MTLS.Revocation, at.revocation)
	}
	if err := fit(at.token, issuer); err != nil {
		return endpoints{}, misled("the metadata of "+server, fmt.Errorf("token_endpoint: %w", err))
	}
	if at.revocation != "" {
		if err := fit(at.revocation, issuer); err != nil {
			return endpoints{}, misled("the metadata of "+server, fmt.Errorf("revocation_endpoint: %w", err))
		}
	}
	if d.dpop && m.DPoP != nil && !slices.Contains(m.DPoP, "ES256") {
		return endpoints{}, misled("the metadata of "+server, errors.New("expected ES256 among dpop_signing_alg_values_supported"))
	}
	return at, nil
}

// fit reports why address cannot be one that a document of from named: it has to
// be https, or loopback where from is, so that no document of another machine
// points the broker at a service of this one.
func fit(address, from string) error {
	var u, source bundle.URL
	if err := u.UnmarshalText([]byte(address)); err != nil {
		return errors.New("expected an absolute https URL without query or fragment, got something else")
	}
	name := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if u.Scheme == "https" && !u.Loopback() && !strings.HasSuffix(name, ".localhost") { // RFC 6761, section 6.3
		return nil
	}
	if err := source.UnmarshalText([]byte(from)); err == nil && source.Loopback() && u.Loopback() {
		return nil
	}
	return errors.New("expected an https URL of another machine than this, got something else")
}

// get reads one JSON document. It returns an error wrapping errAbsent where the
// server says that it has none.
func (d *discovery) get(ctx context.Context, location string, into any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, location, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Accept", "application/json")
	answer, err := d.client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	kind, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	switch {
	case answer.StatusCode >= 500 || answer.StatusCode == http.StatusTooManyRequests:
		return statusError(answer.StatusCode)
	case answer.StatusCode >= 400:
		return fmt.Errorf("%w: status %d", errAbsent, answer.StatusCode)
	case answer.StatusCode != http.StatusOK:
		return statusError(answer.StatusCode)
	case kind != "application/json":
		return errNotJSON
	}
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if json.Unmarshal(content, into) != nil {
		return errMisfit
	}
	return nil
}

// statusError is an answer that is no document and says nothing about one.
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("got status %d", int(e)) }

// misled explains metadata that could not be had, or that must not be used.
func misled(what string, err error) error {
	switch status, isStatus := errors.AsType[statusError](err); {
	case errors.As(err, new(*fault.Error)):
		return err
	case isStatus && (status >= 500 || status == http.StatusTooManyRequests):
		return fault.Wrap("lease", fault.Unavailable, what+" could not be read", err)
	case errors.Is(err, errNotJSON):
		return fault.Wrap("lease", fault.Unavailable, what+" is not JSON", err)
	case errors.As(err, new(*url.Error)), errors.As(err, new(*http.MaxBytesError)):
		return providers.Unreachable(server, err)
	}
	return fault.Wrap("lease", fault.Internal, what+" cannot be used", err)
}
