package providers_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"os"
	"time"

	"mintmark/broker/audit"
	"mintmark/providers"
)

// clockwork is a whole provider.
type clockwork struct{}

func (clockwork) Mint(context.Context, providers.Request) (providers.Credential, error) {
	return providers.Seal(providers.Token,
		providers.Material{Token: providers.NewSecret("s3cr3t")},
		providers.Terms{Scopes: []string{"read"}, NotAfter: time.Now().Add(time.Hour)}), nil
}

// A credential is leased, its use is recorded, and the record reveals it once.
func ExamplePool() {
	dir, err := os.MkdirTemp("", "mintmark-example-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	_, key, _ := ed25519.GenerateKey(nil)
	log, err := audit.Open(audit.Options{Directory: dir, SigningKey: key})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer log.Close()
	pool, err := providers.NewPool(
		map[string]providers.Entry{"clock": {Provider: clockwork{}}},
		providers.PoolOptions{Log: log, FingerprintKey: make([]byte, 32)})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	defer pool.Close(ctx)

	for range 2 {
		credential, cached, err := pool.Lease(ctx, "clock", providers.Request{})
		if err != nil {
			fmt.Println(err)
			return
		}
		receipt, _ := log.Append(ctx, &audit.Record{Kind: audit.Decision, Allow: true, Credential: credential.ID()})
		opened, err := credential.Reveal(receipt)
		fmt.Println(cached, opened, opened.Token(), err)
		_, err = credential.Reveal(receipt)
		fmt.Println(err)
	}
	// Output:
	// false [redacted] s3cr3t <nil>
	// no receipt for this credential
	// true [redacted] s3cr3t <nil>
	// no receipt for this credential
}
