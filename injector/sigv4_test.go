package injector

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"mintmark/broker/bundle"
	"mintmark/providers"
)

// A path is sent in the one escaping that AWS signs, whichever the agent chose:
// another would be the same path with a signature that the server refuses.
func TestSigV4SendsThePathAsItIsSigned(t *testing.T) {
	key := opened(t, providers.AWS, providers.Material{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: providers.NewSecret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")})
	for sent, want := range map[string]string{
		"/plain.txt":                  "/plain.txt",
		"/a+b=c&d@e:f,g$h!i'j(k)l*m~": "/a%2Bb%3Dc%26d%40e%3Af%2Cg%24h%21i%27j%28k%29l%2Am~",
		"/%61%2bb%20c":                "/a%2Bb%20c",
		"/%c3%bc/x":                   "/%C3%BC/x",
		"/a%2Fb/c":                    "/a%2Fb/c", // of a registered URL: still one segment
		"/":                           "/",
		"":                            "",
	} {
		for _, service := range []string{"s3", "execute-api"} {
			s, err := NewSigV4("us-east-1", service, "", nil)
			if err != nil {
				t.Fatal(err)
			}
			s.now = func() time.Time { return time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC) }
			out := outgoing(nil)
			u, err := url.Parse("https://s3.example.org" + sent)
			if err != nil {
				t.Fatal(err)
			}
			out.URL = u
			before := *u
			if err := s.Inject(out, key); err != nil {
				t.Fatal(err)
			}
			if got := out.URL.EscapedPath(); got != want || out.URL.Path != before.Path {
				t.Errorf("%s %s: got %s, want %s and the same path", service, sent, got, want)
			}
		}
	}
}

// A signature is over the host without its scheme's own port, and a server verifies it
// over the host that it is sent.
func TestSigV4SendsTheHostThatIsSigned(t *testing.T) {
	key := opened(t, providers.AWS, providers.Material{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: providers.NewSecret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")})
	for registered, want := range map[string]string{
		"https://s3.example.org:443/x": "s3.example.org", "http://s3.example.org:80/x": "s3.example.org", "https://[::1]:443/x": "[::1]",
		"https://s3.example.org:80/x": "s3.example.org:80", "http://s3.example.org:9000/x": "s3.example.org:9000", "https://[::1]/x": "[::1]",
	} {
		for _, scheme := range []string{"sigv4", "sigv4a"} {
			s, err := Open(bundle.Injection{Scheme: scheme, Region: "us-east-1", Service: "s3"})
			if err != nil {
				t.Fatal(err)
			}
			out := outgoing(nil)
			if out.URL, err = url.Parse(registered); err != nil {
				t.Fatal(err)
			}
			if err := s.Inject(out, key); err != nil || out.URL.Host != want {
				t.Errorf("%s: %s: got host %s, %v, want %s", scheme, registered, out.URL.Host, err, want)
			}
		}
	}
}

// All services but S3 sign slashes in a row as one, whichever path they are sent.
func TestSigV4SignsSlashesAsOne(t *testing.T) {
	key := opened(t, providers.AWS, providers.Material{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: providers.NewSecret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")})
	sign := func(service, path string) string {
		s, err := NewSigV4("us-east-1", service, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		s.now = func() time.Time { return time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC) }
		out := outgoing(nil)
		if out.URL, err = url.Parse("https://api.example.org" + path); err != nil {
			t.Fatal(err)
		}
		if err := s.Inject(out, key); err != nil || out.URL.EscapedPath() != path {
			t.Errorf("%s: got %s, %v, want it sent as it came", path, out.URL.EscapedPath(), err)
		}
		return out.Header.Get("Authorization")
	}
	for service, same := range map[string]bool{"execute-api": true, "s3tables": true, "s3": false, "s3express": false, "s3-outposts": false, "s3-object-lambda": false} {
		if got := sign(service, "//a///%2Fb//") == sign(service, "/a/%2Fb/"); got != same {
			t.Errorf("%s: got the same signature %t, want %t", service, got, same)
		}
	}
}

// A query is sent in the agent's order, and signed in the one that AWS sorts it to: a
// parameter that stands twice is read in the order in which it was judged.
func TestSigV4SendsTheQueryAsItCame(t *testing.T) {
	key := opened(t, providers.AWS, providers.Material{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: providers.NewSecret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")})
	sign := func(scheme Scheme, query string) (sent, signature string) {
		out := outgoing([]byte("x"))
		out.URL = &url.URL{Scheme: "https", Host: "s3.example.org", Path: "/", RawQuery: query}
		if err := scheme.Inject(out, key); err != nil {
			t.Fatal(err)
		}
		_, signature, _ = strings.Cut(out.Header.Get("Authorization"), "Signature=")
		return out.URL.RawQuery, signature
	}
	v4, err := NewSigV4("us-east-1", "s3", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	v4.now = func() time.Time { return time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC) }
	streaming, multi := v4, SigV4A{regions: []string{"*"}, service: "s3", now: v4.now}
	streaming.payload = payloadStreaming
	for query, want := range map[string]string{
		"b=2&a=1&b=1":      "b=2&a=1&b=1",
		"acl":              "acl=",
		"a=x+y%2bz&=v&b&&": "a=x%20y%2Bz&=v&b=",
		"%61=%c3%bc:/~'":   "a=%C3%BC%3A%2F~%27",
		"":                 "",
	} {
		for name, s := range map[string]Scheme{"sigv4": v4, "streaming": streaming, "sigv4a": multi} {
			if sent, _ := sign(s, query); sent != want {
				t.Errorf("%s %q: got %q, want %q", name, query, sent, want)
			}
		}
	}
	_, one := sign(v4, "b=2&a=1&b=1")
	_, other := sign(v4, "a=1&b=1&b=2")
	if one != other {
		t.Error("got two signatures of the same parameters, want AWS's own order in both")
	}
}
