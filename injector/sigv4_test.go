package injector

import (
	"net/url"
	"testing"
	"time"

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
