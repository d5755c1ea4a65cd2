package vault

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/hashicorp/vault/api"

	"mintmark/internal/fault"
)

// entrance is an auth method that the broker logs in by.
type entrance struct {
	method  string // as Vault calls it
	mount   string
	compare string // what the broker shows there, without a secret, and what Vault has to it
}

// explain is explain for a login: Vault has the same statuses for one as for a path
// that is read, and they mean something else.
func (e entrance) explain(err error) error {
	explained := explainAs(err, e.next)
	if status(err) != http.StatusNotFound {
		return explained
	}
	f, _ := errors.AsType[*fault.Error](explained)
	return fault.Wrap(f.Op, f.Kind, "the credential provider has no such login", f.Err)
}

// next says what the operator looks at after a login that is refused.
func (e entrance) next(r *api.ResponseError) string {
	enabled := fmt.Sprintf(": is the method %s enabled at auth/%s (vault auth list), in this namespace, and is it Vault that answers there?", e.method, e.mount)
	switch r.StatusCode {
	case http.StatusBadRequest:
		return fmt.Sprintf(": %s; is the method set up at auth/%s? Vault's own log says more", e.compare, e.mount)
	case http.StatusUnauthorized, http.StatusForbidden:
		if e.method == "token" {
			return ": " + e.compare + "; is it Vault that answers there?"
		}
		return enabled + " If so, " + e.compare
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return enabled
	}
	return next(r)
}
