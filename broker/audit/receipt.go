package audit

import (
	"errors"
	"sync/atomic"
)

// ErrNoReceipt means that a credential was asked for without the durable
// record of its use: a zero, used, or another credential's receipt.
var ErrNoReceipt = errors.New("no receipt for this credential")

// Receipt is the proof that the use of one credential is on record. Only
// Append makes one; it is good for one credential, once. The zero Receipt is
// good for nothing.
type Receipt struct{ once *once }

type once struct {
	credential string
	used       atomic.Bool
}

// Spend uses r up for the credential with the given id. It returns
// ErrNoReceipt when r is zero, was made for another credential, or is spent.
func (r Receipt) Spend(credential string) error {
	if r.once == nil || credential == "" || r.once.credential != credential {
		return ErrNoReceipt
	}
	if r.once.used.Swap(true) {
		return ErrNoReceipt
	}
	return nil
}

// receiptFor returns the receipt that rec, once written, is the ground for.
func receiptFor(rec *Record) Receipt {
	if rec.Kind != Decision || !rec.Allow || rec.Credential == "" {
		return Receipt{}
	}
	return Receipt{once: &once{credential: rec.Credential}}
}
