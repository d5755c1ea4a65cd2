package providers

import (
	"errors"
	"net/url"
	"strings"

	"mintmark/internal/fault"
)

// asked is the cause of a fault with what was asked when it came to it.
type asked struct {
	what string
	err  error // may be nil
}

// Error names the request, and then what came.
func (a asked) Error() string {
	if a.err == nil {
		return "asked " + a.what
	}
	return "asked " + a.what + ": " + a.err.Error()
}

// Unwrap returns what came.
func (a asked) Unwrap() error { return a.err }

// Asked adds to the cause of a *fault.Error, which the operator sees and no agent,
// what an issuing system was asked: the method and the address without its query,
// user and fragment, which can be secret. It returns err as it is where that is
// there already, where err is no *fault.Error, and where the address is none.
func Asked(method, address string, err error) error {
	f, ok := errors.AsType[*fault.Error](err)
	if _, already := errors.AsType[asked](err); !ok || already {
		return err
	}
	u, bad := url.Parse(address)
	if bad != nil || u.Host == "" {
		return err
	}
	plain := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	return fault.Wrap(f.Op, f.Kind, f.Hint, asked{strings.ToUpper(method) + " " + plain.String(), f.Err})
}

// AskedHost is Asked for an address that was found in what a system sent, and no
// operator wrote: its path can hold what is nobody's to log. It names scheme and host
// alone, also where the cause names more.
func AskedHost(method, address string, err error) error {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		if a, named := f.Err.(asked); named { //nolint:errorlint // what Asked made itself
			err = fault.Wrap(f.Op, f.Kind, f.Hint, a.err)
		}
	}
	return Asked(method, Origin(address), err)
}

// Origin returns scheme and host of address, or "" where it has none.
func Origin(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return ""
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host}).String()
}
