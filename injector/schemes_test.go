package injector

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"mintmark/broker/audit"
	"mintmark/broker/bundle"
	"mintmark/providers"
)

func TestInjectNeedsAReceipt(t *testing.T) {
	c := providers.Seal(providers.Token, providers.Material{Token: providers.NewSecret("tok-0123456789")}, providers.Terms{})
	out := outgoing(nil)
	secrets, err := Inject(out, Bearer{}, c, audit.Receipt{})
	if !errors.Is(err, audit.ErrNoReceipt) || secrets != nil {
		t.Fatalf("got %v, %v, want ErrNoReceipt", secrets, err)
	}
	if len(out.Header) != 0 {
		t.Errorf("got headers %v, want none", out.Header)
	}
}

// opened returns the material in the clear, as Inject would hand it to a scheme.
func opened(t *testing.T, kind providers.Kind, m providers.Material) providers.Opened {
	t.Helper()
	log, err := audit.Open(audit.Options{Directory: t.TempDir(), SigningKey: signingKey(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	pool, err := providers.NewPool(map[string]providers.Entry{"p": {Provider: fixed(providers.Seal(kind, m, providers.Terms{NotAfter: time.Now().Add(time.Hour)}))}},
		providers.PoolOptions{Log: log, FingerprintKey: []byte("0123456789abcdef")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pool.Close(t.Context()) })
	c, _, err := pool.Lease(t.Context(), "p", providers.Request{})
	if err != nil {
		t.Fatal(err)
	}
	receipt, err := log.Append(t.Context(), &audit.Record{Kind: audit.Decision, Allow: true, Credential: c.ID()})
	if err != nil {
		t.Fatal(err)
	}
	o, err := c.Reveal(receipt)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func outgoing(body []byte) *Outgoing {
	u, _ := url.Parse("http://127.0.0.1:9000/bucket/a%20key")
	return &Outgoing{Method: http.MethodPut, URL: u, Header: http.Header{}, Body: body}
}

func TestSchemes(t *testing.T) {
	secret := providers.NewSecret
	token := opened(t, providers.Token, providers.Material{Token: secret("tok-0123456789")})
	keyed := opened(t, providers.Token, providers.Material{Token: secret("tok-0123456789"), Key: providers.NewPrivateKey(signingKey(t))})
	password := opened(t, providers.Password, providers.Material{Username: "ada", Password: secret("pa:ss-0123456789")})
	colon := opened(t, providers.Password, providers.Material{Username: "a:b", Password: secret("pass-0123456789")})
	broken := opened(t, providers.Token, providers.Material{Token: secret("tok\r\nX-Evil: 1")})
	cases := []struct {
		name      string
		injection bundle.Injection
		with      providers.Opened
		want      http.Header
		says      string // of the error; "": none
	}{
		{"bearer", bundle.Injection{Scheme: "bearer"}, token, http.Header{"Authorization": {"Bearer tok-0123456789"}}, ""},
		{"bearer with a password", bundle.Injection{Scheme: "bearer"}, password, nil, "a token"},
		{"bearer with a key", bundle.Injection{Scheme: "bearer"}, keyed, nil, "scheme dpop"},
		{"bearer with a line break", bundle.Injection{Scheme: "bearer"}, broken, nil, "control character"},
		{"basic", bundle.Injection{Scheme: "basic"}, password, http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte("ada:pa:ss-0123456789"))}}, ""},
		{"basic with a token", bundle.Injection{Scheme: "basic"}, token, nil, "a password"},
		{"basic with a colon", bundle.Injection{Scheme: "basic"}, colon, nil, "colon"},
		{"header", bundle.Injection{Scheme: "header", Header: "x-api-key"}, token, http.Header{"X-Api-Key": {"tok-0123456789"}}, ""},
		{"header with a template", bundle.Injection{Scheme: "header", Header: "X-Db", Template: "{username}/{password}"}, password, http.Header{"X-Db": {"ada/pa:ss-0123456789"}}, ""},
		{"header without the part", bundle.Injection{Scheme: "header", Header: "X-Db", Template: "{token}"}, password, nil, "a token"},
		{"sigv4 with a token", bundle.Injection{Scheme: "sigv4", Region: "us-east-1", Service: "s3"}, token, nil, "an AWS credential"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s, err := Open(c.injection)
			if err != nil {
				t.Fatal(err)
			}
			out := outgoing(nil)
			err = s.Inject(out, c.with)
			if c.says == "" {
				if err != nil || !reflect.DeepEqual(out.Header, c.want) {
					t.Errorf("got %v, %v, want %v", out.Header, err, c.want)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.says) || len(out.Header) != 0 {
				t.Errorf("got %v with headers %v, want an error about %s and no header", err, out.Header, c.says)
			}
			if err != nil && strings.Contains(err.Error(), "0123456789") {
				t.Errorf("the error holds the secret: %v", err)
			}
		})
	}
}

// TestSigV4 holds the signature against the SDK's own worked example: what is
// signed is what is sent, body and session token included.
func TestSigV4(t *testing.T) {
	key := opened(t, providers.AWS, providers.Material{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: providers.NewSecret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"), SessionToken: providers.NewSecret("session-0123456789")})
	s, err := NewSigV4("us-east-1", "s3", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	s.now = func() time.Time { return time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC) }
	sign := func(body string, change func(*Outgoing)) http.Header {
		out := outgoing([]byte(body))
		if change != nil {
			change(out)
		}
		if err := s.Inject(out, key); err != nil {
			t.Fatal(err)
		}
		return out.Header
	}
	h := sign("hello", nil)
	if got := h.Get("X-Amz-Security-Token"); got != "session-0123456789" {
		t.Errorf("session token: got %q", got)
	}
	if got, want := h.Get("X-Amz-Content-Sha256"), "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"; got != want {
		t.Errorf("body digest: got %q, want %q", got, want)
	}
	if got := h.Get("Authorization"); !strings.HasPrefix(got, "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/s3/aws4_request, SignedHeaders=") {
		t.Errorf("got %q", got)
	}
	if h.Get("Authorization") != sign("hello", nil).Get("Authorization") {
		t.Error("the same request is signed differently")
	}
	for name, change := range map[string]func(*Outgoing){
		"method": func(o *Outgoing) { o.Method = http.MethodGet },
		"query":  func(o *Outgoing) { o.URL.RawQuery = "acl=" },
		"type":   func(o *Outgoing) { o.Header.Set("Content-Type", "text/plain") },
	} {
		if sign("hello", change).Get("Authorization") == h.Get("Authorization") {
			t.Errorf("%s is not signed", name)
		}
	}
	if sign("hallo", nil).Get("Authorization") == h.Get("Authorization") {
		t.Error("the body is not signed")
	}
}

func TestOpenRefusesUnknownScheme(t *testing.T) {
	for _, i := range []bundle.Injection{{}, {Scheme: "Bearer"}, {Scheme: "header"}} {
		if s, err := Open(i); err == nil {
			t.Errorf("%+v: got %v, want an error", i, s)
		}
	}
}
