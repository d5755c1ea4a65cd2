package injector

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"mintmark/broker/bundle"
	"mintmark/internal/fault"
)

// names is a server of DNS that answers each question with the next address, and
// the last of them ever after.
type names struct {
	conn    net.PacketConn
	answers [][4]byte
	asked   atomic.Int64
}

func newNames(t *testing.T, answers ...[4]byte) *names {
	t.Helper()
	conn, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	n := &names{conn: conn, answers: answers}
	go n.serve()
	return n
}

func (n *names) serve() {
	buf := make([]byte, 512)
	for {
		size, from, err := n.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(buf[:size]) != nil || len(m.Questions) != 1 {
			continue
		}
		m.Response, m.Additionals = true, nil
		if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
			next := n.answers[min(int(n.asked.Add(1))-1, len(n.answers)-1)]
			m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}, Body: &dnsmessage.AResource{A: next}}}
		}
		if packed, err := m.Pack(); err == nil {
			_, _ = n.conn.WriteTo(packed, from)
		}
	}
}

// A name is looked at when it was resolved, each time: one that first is an
// upstream's and then the metadata's gets one call and no second.
func TestDialIsCheckedAfterDNS(t *testing.T) {
	served := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { served++; w.Header().Set("Connection", "close") }))
	defer s.Close()
	dns := newNames(t, [4]byte{127, 0, 0, 1}, [4]byte{169, 254, 169, 254})
	target, err := url.Parse(strings.Replace(s.URL, "127.0.0.1", "upstream.example", 1))
	if err != nil {
		t.Fatal(err)
	}
	up, err := OpenUpstream(bundle.Upstream{URL: bundle.URL{URL: target}})
	if err != nil {
		t.Fatal(err)
	}
	defer up.Close()
	up.dialer.net.Resolver = &net.Resolver{PreferGo: true, Dial: (&toOne{dns.conn.LocalAddr().String()}).dial}
	send := func() error {
		resp, err := up.Send(t.Context(), &Outgoing{Method: http.MethodGet, URL: up.URL("", "", ""), Header: http.Header{}}, func() error { return nil })
		if err == nil {
			_ = resp.Body.Close()
		}
		return err
	}
	if err := send(); err != nil {
		t.Fatalf("the first: %v", err)
	}
	if err := send(); fault.KindOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "refuse 169.254.169.254") || strings.Contains(fault.HintOf(err), "169") {
		t.Errorf("the second: got %v, want a refusal that shows the agent no address", err)
	}
	if served != 1 {
		t.Errorf("got %d calls served, want 1", served)
	}
}

func TestDialRefusesMetadata(t *testing.T) {
	for _, host := range []string{"169.254.169.254", "[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]", "[2002:a9fe:a9fe::]", "[fe80::1]", "[fd00:ec2::254]", "0.0.0.0", "100.100.100.200", "192.0.0.192"} {
		for _, scheme := range []string{"http", "https"} {
			target, err := url.Parse(scheme + "://" + host + ":80/latest/meta-data")
			if err != nil {
				t.Fatal(err)
			}
			up, err := OpenUpstream(bundle.Upstream{URL: bundle.URL{URL: target}})
			if err != nil {
				t.Fatal(err)
			}
			resp, err := up.Send(t.Context(), &Outgoing{Method: http.MethodGet, URL: up.URL("", "", ""), Header: http.Header{}}, func() error { return nil })
			if err == nil {
				_ = resp.Body.Close()
			}
			if fault.KindOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "dial: refuse") {
				t.Errorf("%s: got %v, want a refusal", target, err)
			}
			up.Close()
		}
	}
}
