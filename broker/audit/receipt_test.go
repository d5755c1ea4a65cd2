package audit_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"mintmark/broker/audit"
)

func TestReceiptIsForOneCredentialOnce(t *testing.T) {
	l := mustOpen(t, audit.Options{Directory: t.TempDir()})
	receipt := mustAppend(t, l, decision(1))
	copied := receipt
	for _, row := range []struct {
		name       string
		receipt    audit.Receipt
		credential string
		want       error
	}{
		{"zero", audit.Receipt{}, "cred-1", audit.ErrNoReceipt},
		{"zero for no credential", audit.Receipt{}, "", audit.ErrNoReceipt},
		{"no credential", receipt, "", audit.ErrNoReceipt},
		{"other credential", receipt, "cred-2", audit.ErrNoReceipt},
		{"its credential", receipt, "cred-1", nil},
		{"spent", receipt, "cred-1", audit.ErrNoReceipt},
		{"copy of a spent one", copied, "cred-1", audit.ErrNoReceipt},
	} {
		if err := row.receipt.Spend(row.credential); !errors.Is(err, row.want) {
			t.Errorf("%s: got %v, want %v", row.name, err, row.want)
		}
	}
}

func TestReceiptSpentConcurrentlyOnce(t *testing.T) {
	l := mustOpen(t, audit.Options{Directory: t.TempDir()})
	for i := range 100 {
		receipt := mustAppend(t, l, decision(1))
		var spent atomic.Int32
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if receipt.Spend("cred-1") == nil {
					spent.Add(1)
				}
			})
		}
		wg.Wait()
		if spent.Load() != 1 {
			t.Fatalf("round %d: got %d spends, want 1", i, spent.Load())
		}
	}
}
