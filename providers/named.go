package providers

import (
	"fmt"

	"mintmark/internal/fault"
)

// named adds to the cause of a fault of the Pool's own, which the operator sees and no agent,
// whose provider it is and what to do next, if anything.
func (reg *registration) named(err error, next string) error {
	f, ok := err.(*fault.Error) //nolint:errorlint // what the Pool made itself; nil is none
	if !ok {
		return err
	}
	cause := fmt.Errorf("provider %s", reg.name)
	if f.Err != nil {
		cause = fmt.Errorf("%w: %w", cause, f.Err)
	}
	if next != "" {
		cause = fmt.Errorf("%w; %s", cause, next)
	}
	return fault.Wrap(f.Op, f.Kind, f.Hint, cause)
}

// tryIt is what to do about what a system issues and the Pool refuses.
func (reg *registration) tryIt() string {
	return "see what its system issues: mintmark provider test " + reg.name
}
