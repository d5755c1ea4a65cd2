package svidcert_test

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"slices"
	"testing"
	"time"

	"mintmark/internal/fault"
	"mintmark/internal/trustdomain"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
	"mintmark/providers/svidcert"
)

// self is an identity with one certificate.
type self struct {
	providertest.Self

	chain [][]byte
	key   crypto.Signer
	err   error
}

func (s *self) X509SVID(context.Context) ([][]byte, crypto.Signer, error) {
	return s.chain, s.key, s.err
}

func issue(t *testing.T, d *trustdomain.Domain) *self {
	t.Helper()
	svid, err := d.X509SVID(d.ID("broker"), trustdomain.X509Request{})
	if err != nil {
		t.Fatal(err)
	}
	s := &self{key: svid.PrivateKey}
	for _, c := range svid.Certificates {
		s.chain = append(s.chain, c.Raw)
	}
	return s
}

func open(t *testing.T, env providers.Env) providers.Provider {
	t.Helper()
	p, err := svidcert.Open(svidcert.Config{}, env)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestTheCertificateOfNow(t *testing.T) {
	d := trustdomain.New("example.org", trustdomain.Options{X509Lifetime: time.Hour})
	s := issue(t, d)
	p := open(t, providers.Env{Self: s})
	r := providertest.One(t, p)
	defer r.Stop(t)
	leased, _ := r.Must(t, providers.Request{})
	opened := r.Reveal(t, leased)
	if leased.Kind() != providers.X509 || !bytes.Equal(opened.Chain()[0], s.chain[0]) || opened.Key() != s.key {
		t.Errorf("got kind %s and %d certificates, want the broker's own", leased.Kind(), len(opened.Chain()))
	}
	if life := time.Until(leased.NotAfter()); life < 55*time.Minute || life > time.Hour || !slices.Equal(leased.Scopes(), []string{"spiffe://example.org/broker"}) {
		t.Errorf("got a life of %v for %v, want the leaf's", life, leased.Scopes())
	}
	next := issue(t, d)
	s.chain, s.key = next.chain, next.key
	r.Drop(t.Context(), "db")
	if again, _ := r.Must(t, providers.Request{}); again.Fingerprint() == leased.Fingerprint() {
		t.Error("after a rotation: got the certificate of before")
	}
}

func TestNoCertificate(t *testing.T) {
	d := trustdomain.New("example.org", trustdomain.Options{X509Lifetime: time.Hour})
	good := issue(t, d)
	later := func() time.Time { return time.Now().Add(2 * time.Hour) }
	for name, tt := range map[string]struct {
		env  providers.Env
		want fault.Kind
	}{
		"none":        {providers.Env{Self: &self{err: errors.New("no Workload API")}}, fault.Unavailable},
		"ended":       {providers.Env{Self: good, Clock: later}, fault.Unavailable},
		"empty":       {providers.Env{Self: &self{key: good.key}}, fault.Internal},
		"without key": {providers.Env{Self: &self{chain: good.chain}}, fault.Internal},
		"malformed":   {providers.Env{Self: &self{chain: [][]byte{[]byte("x")}, key: good.key}}, fault.Internal},
	} {
		c, err := open(t, tt.env).Mint(t.Context(), providers.Request{})
		if fault.KindOf(err) != tt.want || err == nil {
			t.Errorf("%s: got %v, want a fault %v", name, err, tt.want)
		}
		providertest.CheckAnswer(t, c, err, "")
	}
	if p, err := svidcert.Open(svidcert.Config{}, providers.Env{}); err == nil || p != nil {
		t.Errorf("no identity: got %v, %v", p, err)
	}
}
