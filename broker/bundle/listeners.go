package bundle

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
)

func (c checker) listeners() {
	seen := map[string]bool{}
	for i, l := range c.config.Listeners {
		path := "listeners" + index(i)
		c.address(path, l)
		c.listenerTLS(path, l)
		c.hosts(path, l)
		if seen[l.Address] && l.Address != "" && !strings.HasSuffix(l.Address, ":0") {
			c.decoder.fault(path+".address", "each address once", c.quote(l.Address)+" again")
		}
		seen[l.Address] = true
	}
}

func (c checker) address(path string, l Listener) {
	if l.Address == "" || isUnix(l.Address) {
		return // missing is reported by the decoder
	}
	host, ok := splitAddress(l.Address)
	if !ok {
		c.decoder.fault(path+".address", `an address such as "127.0.0.1:8443" or "unix:///run/mintmark.sock"`, c.quote(l.Address))
		return
	}
	if l.Plaintext && !loopback(host) {
		c.decoder.fault(path+".plaintext", "TLS, or a loopback address or Unix socket", "plaintext on "+c.quote(l.Address))
	}
}

// hosts also refuses what would refuse every call for its Host. An address of
// every interface in plaintext is refused as such.
func (c checker) hosts(path string, l Listener) {
	for i, h := range l.Hosts {
		c.host(path+".hosts"+index(i), h)
	}
	if host, ok := splitAddress(l.Address); ok && unspecified(host) && !l.Plaintext && len(l.Hosts) == 0 {
		c.decoder.fault(path+".hosts", "at least one name that agents call, as "+c.quote(l.Address)+" is every interface and no name", "none")
	}
}

// unspecified reports whether host stands for every interface.
func unspecified(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.WithZone("").Unmap().IsUnspecified()
}

// splitAddress returns the host of "host:port", which is empty for all
// interfaces, an IP address, or a name.
func splitAddress(address string) (host string, ok bool) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", false
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", false
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" && !isHostname(host) {
		return "", false
	}
	return host, true
}

// isHostname reports whether s is a DNS name in its usual letters.
func isHostname(s string) bool {
	return s != "" && len(s) <= 253 && !strings.ContainsFunc(s, func(r rune) bool {
		return !isAlphanumeric(r) && r != '-' && r != '.' && r != '_'
	})
}

func (c checker) listenerTLS(path string, l Listener) {
	switch {
	case (l.Cert == "") != (l.Key == ""):
		c.decoder.faultOf([]string{path + ".cert", path + ".key"}, path, "cert and key together", "one without the other")
	case l.Plaintext && l.Cert != "":
		c.decoder.fault(path+".plaintext", "either plaintext or a cert", "both")
	case !l.Plaintext && l.Cert == "" && c.config.Trust.WorkloadAPI == "":
		c.decoder.faultOf([]string{path + ".plaintext", path + ".cert", "trust.workload_api"}, path,
			"cert and key, or trust.workload_api to serve the broker's own SVID", "neither")
	}
}

func (c checker) host(path, host string) {
	name, withPort := splitAddress(host)
	if _, err := netip.ParseAddr(host); err != nil && !isHostname(host) && (!withPort || name == "") {
		c.decoder.fault(path, `a host such as "mintmark.example.org" or "mintmark.example.org:8443"`, c.quote(host))
	}
}
