package injector

import (
	"fmt"
	"net/url"
	"sync"
	"testing"
	"time"

	"mintmark/providers"
)

// Two leases whose access keys have one id sign each with its own secret: a key that
// was replaced under its id, as servers of S3 have it, signs nothing any more.
func TestALeaseSignsWithItsOwnSecretAlone(t *testing.T) {
	at := func() time.Time { return time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC) }
	lease := func(secret string) providers.Opened {
		return opened(t, providers.AWS, providers.Material{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: providers.NewSecret(secret)})
	}
	before, after := lease("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"), lease("another/secret/of/the/same/id/EXAMPLEKEY")
	for _, payload := range []string{"signed", "unsigned", payloadStreaming} {
		create := func() SigV4 {
			s, err := NewSigV4("us-east-1", "s3", payload, nil)
			if err != nil {
				t.Fatal(err)
			}
			s.now = at
			return s
		}
		sign := func(s SigV4, c providers.Opened) string {
			out := outgoing([]byte("body"))
			out.URL = &url.URL{Scheme: "https", Host: "s3.example.org", Path: "/b/k"}
			if err := s.Inject(out, c); err != nil {
				t.Fatal(err)
			}
			return fmt.Sprintf("%s %q", out.Header.Get("Authorization"), out.Body)
		}
		shared := create()
		first := sign(shared, before)
		if got, want := sign(shared, after), sign(create(), after); got != want || got == first {
			t.Errorf("%s: with the new secret got %s, want %s", payload, got, want)
		}
		if got := sign(shared, before); got != first {
			t.Errorf("%s: with the old secret again: got %s, want %s", payload, got, first)
		}
	}
}

// Calls of two such leases, at once, by schemes that they share.
func TestLeasesSignAtOnce(t *testing.T) {
	at := func() time.Time { return time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC) }
	one, err := NewSigV4("us-east-1", "s3", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	several, err := NewSigV4A("*", "s3", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	one.now, several.now = at, at
	var got sync.Map // signatures, with their secrets
	var calls sync.WaitGroup
	for _, secret := range []string{"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "another/secret/of/the/same/id/EXAMPLEKEY"} {
		c := opened(t, providers.AWS, providers.Material{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: providers.NewSecret(secret)})
		for range 20 {
			calls.Go(func() {
				for _, s := range []Scheme{one, several} {
					out := outgoing([]byte("body"))
					if err := s.Inject(out, c); err != nil {
						t.Error(err)
					}
					if out.Header.Get("X-Amz-Region-Set") == "" { // those of the other have chance in them
						got.Store(secret+out.Header.Get("Authorization"), true)
					}
				}
			})
		}
	}
	calls.Wait()
	n := 0
	got.Range(func(any, any) bool { n++; return true })
	if n != 2 {
		t.Errorf("got %d signatures, want one of each secret", n)
	}
}
