package injector

import (
	"fmt"
	"html"
	"net/url"
	"strings"
	"testing"
)

// ownSecret is of the answer that is searched. What finds it is not what finds others'.
const ownSecret = "own-secret-of-this-answer"

// amongOthers returns a Scrubber of an answer whose upstream got values for others.
func amongOthers(values ...string) *Scrubber {
	all := NewNeedles()
	for _, v := range values {
		all.Add(secretsFrom(v))
	}
	return besideAll(all)
}

func besideAll(all *Needles) *Scrubber {
	s := secretsFrom(ownSecret).NewScrubber()
	s.Beside(all)
	return s
}

// literalForms are the forms in which another's secret is looked for.
func literalForms() map[string]string {
	m := forms()
	for _, name := range []string{"HTML", "JSON \\u", "quoted printable", "lower percent"} { // each character by itself
		delete(m, name)
	}
	delete(m, "basic auth") // an alignment of base64
	m["in JSON"] = strings.Trim(m["JSON"], `"`)
	delete(m, "JSON")
	m["in HTML"], m["in HTML twice"], m["in HTML in JSON"] = html.EscapeString(canary), html.EscapeString(html.EscapeString(canary)), asGoJSON(html.EscapeString(canary))
	m["in XML"] = strings.NewReplacer(`"`, "&quot;", "&", "&amp;").Replace(canary)
	m["in JSON in JSON"], m["PHP in JSON"] = asJSON(asJSON(canary)), asJSON(strings.ReplaceAll(asJSON(canary), "/", `\/`))
	m["query in a query"], m["JSON in a query"] = url.QueryEscape(url.QueryEscape(canary)), url.QueryEscape(asJSON(canary))
	m["lower query"] = strings.NewReplacer("%2F", "%2f", "%2B", "%2b", "%C3%A9", "%c3%a9").Replace(m["query"])
	return m
}

// Another's secret is masked in each form, cut at every offset, and in a header and
// an error; what is around it stays, and nothing else waits.
func TestAnothersSecretAtEveryOffset(t *testing.T) {
	t.Parallel()
	const more = " after\n\ndata: more\n\n"
	for name, form := range literalForms() {
		t.Run(name, func(t *testing.T) {
			text := "data: before " + form + more
			for cut := range text {
				s := amongOthers(canary, "another-one", "s3cr"+`"t/+%but other`)
				got := scrubbed(s, text, cut)
				if len(got) != len(text) || leaks(got, form) || !strings.HasPrefix(got, "data: before ") || !strings.HasSuffix(got, more) {
					t.Fatalf("cut at %d: got %q of %q", cut, got, text)
				}
				if s.Hits() != 1 || s.HitsOfOthers() != 1 || s.OfOthers() == "" {
					t.Fatalf("cut at %d: got %d hits, %d of others, want 1", cut, s.Hits(), s.HitsOfOthers())
				}
			}
			s := amongOthers(canary)
			if got := s.String(text); len(got) != len(text) || leaks(got, form) || s.HitsOfOthers() != 1 {
				t.Errorf("a header: got %q", got)
			}
			if got := string(s.Message([]byte(text))); len(got) != len(text) || leaks(got, form) || s.HitsOfOthers() != 2 {
				t.Errorf("a message: got %q", got)
			}
			for end := 24; end < len(form); end++ {
				if got := s.ErrorText(`quoted "` + form[:end] + `" and more`); leaks(got, form) {
					t.Fatalf("an error that quotes %d bytes: got %q", end, got)
				}
			}
		})
	}
}

// What is whole at the end of the last piece is masked, though another secret goes on from
// there.
func TestTheLastPieceIsMaskedToItsEnd(t *testing.T) {
	const short, long = "token-of-one-0001", "token-of-one-0001-and-more"
	searches := map[string]func() *Scrubber{
		"own": func() *Scrubber { return hidden(short, long).NewScrubber() }, "others'": func() *Scrubber { return amongOthers(short, long) },
		"an earlier one": func() *Scrubber { return secretsFrom(long).NewScrubber(secretsFrom(short)) },
	}
	const text, want = "x token-of-one-0001", "x *****************"
	for whose, search := range searches {
		for cut := range len(text) + 1 {
			for _, parts := range []bool{false, true} {
				s := search()
				if parts {
					s.AcrossParts()
				}
				got := string(s.Next([]byte(text[:cut])))
				got += string(s.Last([]byte(text[cut:])))
				if rest := s.Rest(); got != want || len(rest) != 0 || s.Hits() != 1 || s.Cut() {
					t.Errorf("%s, in parts %t, the last from %d on: got %q, then %q, with %d hits", whose, parts, cut, got, rest, s.Hits())
				}
			}
		}
	}
}

// Nothing waits for longer than a beat but what another's secret begins with, from where
// nobody guesses it, and then as long as any is.
func TestOthersSecretsHoldBackTheirBeginnings(t *testing.T) {
	s := amongOthers("tokens-of-one-issuer-0001", "tokens-of-one-issuer-0002", "data: a secret")
	for _, step := range []struct{ piece, want string }{
		{"data: {}\n\n", "data: {}\n\n"},
		{"x tok", "x tok"},
		{"ens-o and tokens-of-one-issuer-000", "ens-o and "},
		{"3 t", ""},
		{strings.Repeat("-", 200), "tokens-of-one-issuer-0003 t" + strings.Repeat("-", 200)},
		{"tokens-of-one-issuer-0001", "*************************"},
		{"TOKENS-of-one-issuer-0002 ", "************************* "}, // in either case, as hex
		{"tokens", "tokens"},
		{"-of-one-issuer-0001", "*******************"},
		{"tokens-of-one-is", ""},
	} {
		if got := told(s, step.piece); got != step.want {
			t.Errorf("after %q: got %q, want %q", step.piece, got, step.want)
		}
	}
	if got := string(s.Rest()); got != "tokens-of-one-is" {
		t.Errorf("at the end: got %q", got)
	}
	if s.HitsOfOthers() != 3 {
		t.Errorf("got %d hits, want 3", s.HitsOfOthers())
	}
}

// An answer to a call without a credential is searched for what comes while it goes on.
func TestAnAnswerToACallWithoutACredential(t *testing.T) {
	all := NewNeedles()
	s := all.NewScrubber()
	got := string(s.Next([]byte("before, ")))
	all.Add(secretsFrom("a-secret-that-comes"))
	got += scrubbed(s, "a-secret-that-comes, after", 9)
	if want := "before, *******************, after"; got != want || s.HitsOfOthers() != 1 {
		t.Errorf("got %q with %d hits, want %q with 1", got, s.HitsOfOthers(), want)
	}
}

func TestNeedlesDoNotPrint(t *testing.T) {
	all := NewNeedles()
	all.Add(secretsFrom(canary))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if got := fmt.Sprintf(verb, all); strings.Contains(got, "s3cr") {
			t.Errorf("%s shows the secret: %s", verb, got)
		}
	}
}
