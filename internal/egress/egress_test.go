package egress_test

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"mintmark/internal/egress"
)

func TestRefused(t *testing.T) {
	for address, want := range map[string]bool{
		"169.254.169.254": true, "169.254.0.1": true, "169.254.255.255": true, // link-local
		"0.0.0.0": true, "0.1.2.3": true, "255.255.255.255": true, "224.0.0.1": true, "239.255.255.255": true,
		"100.100.100.200": true, "192.0.0.192": true, "168.63.129.16": true, // metadata elsewhere
		"::": true, "fe80::1": true, "fe80::1%eth0": true, "febf::1": true, "fec0::1": true, "ff02::1": true, "ff05::2": true,
		"fd00:ec2::254": true, "fd00:ec2::23": true, "fd20:ce::254": true, "fd00:42::42": true, "fd00:c1::a9fe:a9fe": true,
		"fd00:100::100:200": true, "fd00:a9fe:a9fe::1": true,
		"::ffff:169.254.169.254": true, "::ffff:0.0.0.0": true, "::ffff:100.100.100.200": true, "::169.254.169.254": true, // mapped, compatible
		"64:ff9b::169.254.169.254": true, "64:ff9b::100.100.100.200": true, "64:ff9b::0.0.0.1": true, // NAT64
		"64:ff9b:1::169.254.169.254": true, "64:ff9b:1:a9fe:a9:fe00::": true, // of 64:ff9b:1::/48 also a part
		"64:ff9b:1:7a9:fe:a9fe::": true, "64:ff9b:1:7:a9:fea9:fe00:0": true, "64:ff9b:1:7::169.254.169.254": true,
		"::ffff:0:169.254.169.254": true,                                                    // translated (SIIT)
		"2002:a9fe:a9fe::1":        true, "2002:6464:64c8::": true, "2002:c000:c0::1": true, // 6to4
		"2001:0:a9fe:a9fe::1": true, "2001:0:808:808:0:0:5601:5601": true, // Teredo: its server, its client
		"2001:db8::5efe:169.254.169.254": true, "2001:db8::200:5efe:169.254.169.254": true, // ISATAP

		"127.0.0.1": false, "::1": false, "::ffff:127.0.0.1": false,
		"10.0.0.1": false, "192.168.1.1": false, "172.16.0.1": false, "100.64.0.1": false, "100.100.100.201": false, "192.0.0.193": false, "1.1.1.1": false,
		"169.253.255.255": false, "169.255.0.0": false, "168.63.129.17": false,
		"fd00::1": false, "fd00:100::100:201": false, "fd00:a9fe:a9fe::2": false, "fd00:ec2::255": false, "2606:4700::1111": false, "2001:db8::1": false,
		"::ffff:10.0.0.1": false, "64:ff9b::10.0.0.1": false, "64:ff9b:1::10.0.0.1": false, "64:ff9b:1:a00:0:100::": false, "2002:a00:1::1": false,
		"64:ff9b:1:70a:0:1::": false, "64:ff9b:1:7:a:0:100:0": false, "::ffff:0:10.0.0.1": false,
		"2001:0:808:808::f7f7:f7f7": false, "2001:db8::5efe:10.0.0.1": false,
	} {
		ip, err := netip.ParseAddr(address)
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		if got := egress.Refused(ip); got != want {
			t.Errorf("%s: got refused %t, want %t", address, got, want)
		}
	}
	if !egress.Refused(netip.Addr{}) {
		t.Error("no address: got accepted, want refused")
	}
}

// It is the address that is looked at, and what it was called is not known any more.
func TestControlRefusesTheDial(t *testing.T) {
	dialer := net.Dialer{Control: egress.Control}
	for _, address := range []string{"169.254.169.254:80", "[fe80::1%1]:80", "[::ffff:169.254.169.254]:80", "0.0.0.0:80"} {
		conn, err := dialer.DialContext(t.Context(), "tcp", address)
		if err == nil {
			conn.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "dial: refuse") {
			t.Errorf("%s: got %v, want a refusal", address, err)
		}
	}
	if err := egress.Control("tcp", "metadata.google.internal:80", nil); err == nil {
		t.Error("a name: got accepted, want an error, as only addresses are dialled")
	}
}

func FuzzRefused(f *testing.F) {
	f.Add([]byte{169, 254, 169, 254})
	f.Add(netip.MustParseAddr("64:ff9b::a9fe:a9fe").AsSlice())
	f.Fuzz(func(t *testing.T, raw []byte) {
		ip, ok := netip.AddrFromSlice(raw)
		if !ok {
			return
		}
		refused := egress.Refused(ip)
		// A link-local address is refused in whatever it is wrapped.
		if ip.Is4() && refused {
			b := ip.As4()
			for _, wrapped := range []netip.Addr{
				netip.AddrFrom16(ip.As16()),
				netip.AddrFrom16([16]byte{0, 0x64, 0xff, 0x9b, 12: b[0], 13: b[1], 14: b[2], 15: b[3]}),
				netip.AddrFrom16([16]byte{0x20, 0x02, b[0], b[1], b[2], b[3]}),
			} {
				if !egress.Refused(wrapped) {
					t.Errorf("%s: got accepted, want refused as %s is", wrapped, ip)
				}
			}
		}
	})
}
