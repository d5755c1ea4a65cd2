// Package egress says where the broker connects to on no account: the addresses
// at which cloud platforms hand credentials to whoever asks from within.
package egress

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
)

// ErrRefused is the cause of a dial that Control refused.
var ErrRefused = errors.New("link-local, multicast and metadata addresses are neither an upstream nor a provider")

// Control is a net.Dialer's: it refuses an address that Refused refuses. It is
// called after a name was resolved, for each address that is about to be dialled,
// so that what DNS says does not get round it.
func Control(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("dial: expected an IP address and port, got %q", address)
	}
	if Refused(at.Addr()) {
		return fmt.Errorf("dial: refuse %s: %w", at.Addr(), ErrRefused)
	}
	return nil
}

// Refused reports whether ip is link-local, multicast, unspecified, or a metadata
// service of a cloud, in itself or as the IPv4 address within an IPv6 one.
func Refused(ip netip.Addr) bool {
	ip = ip.WithZone("").Unmap()
	if !ip.IsValid() || ip.IsUnspecified() || ip.IsMulticast() {
		return true
	}
	for _, p := range refused() {
		if p.Contains(ip) {
			return true
		}
	}
	for _, inner := range embedded(ip) {
		if Refused(inner) {
			return true
		}
	}
	return false
}

func refused() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"),              // this network (RFC 1122)
		netip.MustParsePrefix("169.254.0.0/16"),         // link-local: the metadata of AWS, Azure, GCP and most others
		netip.MustParsePrefix("255.255.255.255/32"),     // broadcast
		netip.MustParsePrefix("100.100.100.200/32"),     // metadata: Alibaba Cloud
		netip.MustParsePrefix("192.0.0.192/32"),         // metadata: Oracle Cloud
		netip.MustParsePrefix("168.63.129.16/32"),       // Azure's own server within each network
		netip.MustParsePrefix("fe80::/10"),              // link-local
		netip.MustParsePrefix("fec0::/10"),              // site-local, deprecated (RFC 3879)
		netip.MustParsePrefix("fd00:ec2::254/128"),      // metadata: AWS
		netip.MustParsePrefix("fd00:ec2::23/128"),       // credentials: EKS Pod Identity
		netip.MustParsePrefix("fd20:ce::254/128"),       // metadata: GCP
		netip.MustParsePrefix("fd00:42::42/128"),        // metadata: Scaleway
		netip.MustParsePrefix("fd00:c1::a9fe:a9fe/128"), // metadata: Oracle Cloud
		netip.MustParsePrefix("fd00:100::100:200/128"),  // metadata: Alibaba Cloud
		netip.MustParsePrefix("fd00:a9fe:a9fe::1/128"),  // metadata: Akamai, once Linode
	}
}

// embedded returns the IPv4 addresses to which some router or host sends what is
// addressed to ip.
func embedded(ip netip.Addr) []netip.Addr {
	if !ip.Is6() {
		return nil
	}
	b := ip.As16()
	at := func(i int) netip.Addr { return netip.AddrFrom4([4]byte(b[i : i+4])) }
	head := binary.BigEndian.Uint32(b[:4])
	switch {
	case head == 0x0064ff9b: // NAT64: 64:ff9b::/96 (RFC 6052), and 64:ff9b:1::/48 (RFC 8215)
		return translated(b)
	case head>>16 == 0x2002: // 6to4 (RFC 3056)
		return []netip.Addr{at(2)}
	case head == 0x20010000: // Teredo (RFC 4380): the server, and the client, whose bits are turned
		return []netip.Addr{at(4), netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]})}
	case [12]byte(b[:12]) == [12]byte{} && !ip.IsLoopback(): // IPv4-compatible, deprecated (RFC 4291)
		return []netip.Addr{at(12)}
	case [12]byte(b[:12]) == [12]byte{8: 0xff, 9: 0xff}: // IPv4-translated (RFC 2765)
		return []netip.Addr{at(12)}
	case binary.BigEndian.Uint32(b[8:12])&^0x02000000 == 0x00005efe: // ISATAP (RFC 5214)
		return []netip.Addr{at(12)}
	}
	return nil
}

// translated returns the IPv4 addresses that a translator may read in b, which says
// nothing of how long its prefix is (RFC 6052, section 2.2). What follows the
// address there is ignored, as translators do.
func translated(b [16]byte) (all []netip.Addr) {
	for _, at := range [][4]int{{6, 7, 9, 10}, {7, 9, 10, 11}, {9, 10, 11, 12}} { // after 48, 56 and 64 bits
		v4 := [4]byte{b[at[0]], b[at[1]], b[at[2]], b[at[3]]}
		if v4[0] != 0 && [3]byte(v4[1:]) != [3]byte{} { // else part of the prefix, and no host
			all = append(all, netip.AddrFrom4(v4))
		}
	}
	if len(all) == 0 || [3]byte(b[13:]) != [3]byte{} { // after 96
		all = append(all, netip.AddrFrom4([4]byte(b[12:])))
	}
	return all
}
