package vault

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/hashicorp/vault/api"

	"mintmark/internal/fault"
	"mintmark/providers"
)

// explain makes a *fault.Error of an error of the API. It keeps the status and
// nothing else of what Vault sent, which may quote a secret.
func explain(err error) error { return explainAs(err, next) }

// explainAs is explain with what the operator looks at after a refusal.
func explainAs(err error, next func(*api.ResponseError) string) error {
	if err == nil {
		return nil
	}
	if known, ok := errors.AsType[*fault.Error](err); ok {
		return known
	}
	if b, ok := errors.AsType[busy](err); ok {
		if sent, ok := errors.AsType[*url.Error](err); ok {
			return providers.Asked(sent.Op, sent.URL, b.explain())
		}
		return b.explain()
	}
	refusal, ok := errors.AsType[*api.ResponseError](err)
	if !ok {
		return providers.Unreachable("vault", err)
	}
	kind, hint := meaning(refusal)
	cause := fmt.Errorf("vault answered with status %d%s", refusal.StatusCode, next(refusal))
	return providers.Asked(refusal.HTTPMethod, refusal.URL, fault.Wrap("lease", kind, hint, cause))
}

// wanting explains an answer that lacks what was wanted: next is what the operator
// looks at.
func wanting(c *api.Client, method, path, hint, next string) error {
	return providers.Asked(method, c.Address()+"/v1/"+path, fault.Wrap("lease", fault.Internal, hint, errors.New(next)))
}

// next says what the operator looks at after a refusal, or nothing where the hint
// says it.
func next(r *api.ResponseError) string {
	switch r.StatusCode {
	case http.StatusBadRequest:
		return ": compare the role, and what it is asked for"
	case http.StatusUnauthorized, http.StatusForbidden:
		return ": compare the path with what the policies of the broker's role permit"
	case http.StatusNotFound:
		return ": compare the mount and the path"
	case http.StatusServiceUnavailable:
		if sealed(r) {
			return ": unseal it"
		}
	}
	if r.StatusCode >= 500 {
		return ": see its own log"
	}
	return ""
}

// meaning says what a refusal means. An agent can mend none of them: what is
// not an outage is the broker's own configuration.
func meaning(r *api.ResponseError) (fault.Kind, string) {
	switch {
	case r.StatusCode == http.StatusServiceUnavailable && sealed(r):
		return fault.Unavailable, "vault is sealed"
	case r.StatusCode == http.StatusServiceUnavailable:
		return fault.Unavailable, notReady
	case r.StatusCode == http.StatusTooManyRequests:
		return fault.Unavailable, limited
	case r.StatusCode == http.StatusPreconditionFailed:
		return fault.Unavailable, "this node of vault lags behind the others"
	case r.StatusCode == 472, r.StatusCode == 473:
		return fault.Unavailable, "vault is a standby that does not forward requests"
	case r.StatusCode >= 500:
		return fault.Unavailable, failed
	case r.StatusCode == http.StatusForbidden, r.StatusCode == http.StatusUnauthorized, r.StatusCode == http.StatusBadRequest:
		return fault.Internal, "the credential provider refused the broker"
	case r.StatusCode == http.StatusNotFound:
		return fault.Internal, "there is no such secret at its provider"
	}
	return fault.Internal, "vault gave an unexpected answer"
}

const (
	limited  = "vault limits how often the broker may ask"
	notReady = "vault is not ready"
	failed   = "vault could not make the credential"
)

// sealed reads Vault's own words only to choose between two of ours.
func sealed(r *api.ResponseError) bool {
	for _, s := range r.Errors {
		if strings.Contains(strings.ToLower(s), "sealed") {
			return true
		}
	}
	return false
}
