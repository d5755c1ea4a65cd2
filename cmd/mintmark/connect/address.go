package connect

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

// address is where a broker listens.
type address struct {
	url    string // of the MCP endpoint
	socket string // path of the Unix socket, or "" for TLS
}

// parseAddress reads the address of a broker's listener and adds the path of an
// upstream.
func parseAddress(broker, upstream string) (address, error) {
	if broker == "" {
		return address{}, errors.New(`--broker: required: the broker's address, such as "https://broker.example.org:8443" or "unix:///run/mintmark.sock"; MINTMARK_BROKER sets it too`)
	}
	path := "/mcp"
	if upstream != "" {
		if strings.Trim(upstream, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return address{}, fmt.Errorf("expected the name of an upstream, of lower-case letters, digits and hyphens, got %q", upstream)
		}
		path += "/" + upstream
	}
	if socket, ok := strings.CutPrefix(broker, "unix://"); ok {
		if !filepath.IsAbs(socket) {
			return address{}, fmt.Errorf(`--broker: expected an absolute path such as "unix:///run/mintmark.sock", got %q`, broker)
		}
		return address{url: "http://mintmark" + path, socket: socket}, nil
	}
	u, err := url.Parse(broker)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return address{}, fmt.Errorf(`--broker: expected "https://HOST:PORT" or "unix:///PATH", got %s; %s`, shown(u, broker), instead(u))
	}
	return address{url: "https://" + u.Host + path}, nil
}

// shown returns what came in place of an address, by its length where it could
// hold a password or be one.
func shown(u *url.URL, broker string) string {
	if u == nil || u.Scheme == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Contains(broker, "@") {
		return fmt.Sprintf("a text of %d characters that is none", len(broker))
	}
	return strconv.Quote(broker)
}

// instead says what to do about an address that is none.
func instead(u *url.URL) string {
	switch {
	case u == nil:
	case u.Scheme == "http":
		return "name a listener of the broker with TLS, or one on a Unix socket with plaintext: true: over plain http this program shows no identity"
	case u.Scheme == "https" && u.Hostname() != "" && strings.Trim(u.Path, "/") != "":
		return `leave out the path: the upstream is named by the argument, as in "mintmark connect orders"`
	}
	return `name the scheme, the host and the port of a listener, as in "https://broker.example.org:8443"`
}

// String returns the address in the words of --broker.
func (a address) String() string {
	if a.socket != "" {
		return "unix://" + a.socket
	}
	origin, _, _ := strings.Cut(strings.TrimPrefix(a.url, "https://"), "/")
	return "https://" + origin
}

// checkWorkloadAPI refuses what is no address of a Workload API.
func checkWorkloadAPI(addr string) error {
	if addr == "" {
		return errors.New(`--workload-api: required: the SPIFFE Workload API that says who this is, such as "unix:///run/spire/agent.sock"; SPIFFE_ENDPOINT_SOCKET sets it too`)
	}
	if err := workloadapi.ValidateAddress(addr); err != nil {
		return fmt.Errorf(`--workload-api: expected a socket such as "unix:///run/spire/agent.sock", got %q: %w`, addr, err)
	}
	return nil
}

// checkWhom refuses to say whom the broker has to be where that is not looked at.
func checkWhom(a address, o Options) error {
	switch {
	case a.socket != "" && o.BrokerID+o.CA != "":
		return errors.New("--broker-id and --ca: expected neither with a Unix socket, where the broker shows nothing")
	case o.BrokerID != "" && o.CA != "":
		return errors.New("--broker-id and --ca: expected one of them, got both: a certificate of a CA is no SVID")
	}
	return nil
}

// brokerID reads the SPIFFE ID that the broker has to have; "" is the zero ID.
func brokerID(s string) (id spiffeid.ID, err error) {
	if s == "" {
		return id, nil
	}
	if id, err = spiffeid.FromString(s); err != nil {
		return id, fmt.Errorf("--broker-id: expected a SPIFFE ID such as spiffe://example.org/mintmark, got %q: %w", s, err)
	}
	return id, nil
}

// readCA reads the CAs of a broker that has no SVID; no file is nil.
func readCA(name string) (*x509.CertPool, error) {
	if name == "" {
		return nil, nil
	}
	content, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("--ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(content) {
		return nil, fmt.Errorf("--ca: %s: expected PEM certificates, got none", name)
	}
	return pool, nil
}
