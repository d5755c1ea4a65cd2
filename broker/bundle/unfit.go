package bundle

import "errors"

// Unfit is why what is registered can't be opened, where that is for one of its fields: a
// file that is not there.
type Unfit struct {
	Field string // "ca"
	Err   error
}

// Error says why.
func (u *Unfit) Error() string { return u.Err.Error() }

// Unwrap returns why.
func (u *Unfit) Unwrap() error { return u.Err }

// Place returns err as a Problem with the field that it is for, where opening the
// registration at path, such as "providers.orders-db", failed for one, or else err.
func (b *Bundle) Place(path string, err error) error {
	if unfit, ok := errors.AsType[*Unfit](err); ok {
		return b.At(path+"."+unfit.Field, unfit.Error())
	}
	return err
}
