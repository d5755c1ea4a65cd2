package bundle_test

import (
	"fmt"
	"os"
	"path/filepath"

	"mintmark/broker/bundle"
)

// A bundle says all that is wrong with it, and where, in one go.
func ExampleLoad() {
	dir, err := os.MkdirTemp("", "bundle")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	config := `trust_domain: example.org
trust: {workload_api: "unix:///run/spire/agent.sock"}
listeners: [{adress: "127.0.0.1:8443"}]
attestors: [{kind: x509-svid}]
upstreams:
  orders: {url: "http://orders.example.org/mcp", unauthenticated: true, timeout: 2h30}
`
	if err := os.WriteFile(filepath.Join(dir, bundle.ConfigName), []byte(config), 0o600); err != nil {
		fmt.Println(err)
		return
	}
	_, err = bundle.Load(dir, bundle.Kinds{
		Attestors: map[string]func() any{"x509-svid": func() any { return new(struct{}) }},
	})
	fmt.Println(err)
	// Output:
	// mintmark.yaml:3:13: listeners[0].address: required, but missing
	// mintmark.yaml:3:14: listeners[0].adress: unknown key: did you mean "address"?
	// mintmark.yaml:6:17: upstreams.orders.url: expected https, a loopback host, or allow_plaintext: true, got http to "orders.example.org"
	// mintmark.yaml:6:82: upstreams.orders.timeout: expected a duration such as "1h30m", got "2h30"
}
