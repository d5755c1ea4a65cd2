package injector

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"html"
	"math/rand/v2"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
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
				if s.Hits() != 1 || s.HitsOfOthers() != 1 || s.OfOthers() == nil {
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

// What comes and goes while an answer goes on is looked for as long as it is there,
// and of what went nothing is kept.
func TestNeedlesComeAndGo(t *testing.T) {
	all := NewNeedles()
	s := besideAll(all)
	next := func(want string) {
		t.Helper()
		const text = "a-secret-that-comes a-secret-that-comes-too "
		if got := string(s.Message([]byte(text))); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	one, two := secretsFrom("a-secret-that-comes"), secretsFrom("a-secret-that-comes-too")
	next("a-secret-that-comes a-secret-that-comes-too ")
	all.Add(two)
	next("a-secret-that-comes *********************** ")
	all.Add(one)
	all.Add(one)
	next("******************* *********************** ")
	all.Remove(two)
	all.Remove(two)
	next("******************* *******************-too ")
	all.Remove(one)
	next("a-secret-that-comes a-secret-that-comes-too ")
	if root := &all.set().root; all.Len() != 0 || len(root.next) != 0 || root.text != nil {
		t.Errorf("got %d and a tree of %d branches from %q, want nothing", all.Len(), len(root.next), root.text)
	}
}

// Where all that an upstream got is the answer's own, it is not searched for again.
func TestNoSearchForWhatIsSearchedAlready(t *testing.T) {
	all := NewNeedles()
	own, other := secretsFrom(ownSecret), secretsFrom("other-secret-0002")
	all.Add(own)
	all.Add(other)
	s := own.NewScrubber(other)
	s.Beside(all)
	text := []byte("data: " + ownSecret + " other-secret-0002\n\n")
	next := func() { s.Next(text); s.Due(s.Came()) }
	n := testing.AllocsPerRun(100, next)
	if n != 0 || s.beside.found != nil {
		t.Errorf("got %v allocations, and a search: %v", n, s.beside.found != nil)
	}
	all.Add(secretsFrom("third-secret-0003"))
	before := s.HitsOfOthers()
	if got := told(s, "third-secret-0003 "); got != "***************** " || s.HitsOfOthers() != before+1 {
		t.Errorf("got %q with %d hits more", got, s.HitsOfOthers()-before)
	}
	text = []byte("data: nothing of it\n\n")
	if n := testing.AllocsPerRun(100, next); n != 0 {
		t.Errorf("with others: got %v allocations for a piece, want none", n)
	}
}

// What the own search gives up is looked for among the others' from then on.
func TestWhatTheOwnSearchGivesUpIsFoundBeside(t *testing.T) {
	var l later
	own, old := secretsFrom(ownSecret), secretsFrom("earlier-secret-0002")
	all := NewNeedles()
	all.Add(own)
	all.Add(old)
	s := own.NewScrubber(old)
	s.Watch(&l, 0)
	s.Beside(all)
	for _, others := range []int{1, 2} {
		if got := told(s, "earlier-secret-0002 "); got != "******************* " || s.HitsOfOthers() != others {
			t.Errorf("got %q with %d hits of others, want %d", got, s.HitsOfOthers(), others)
		}
		if s.Hits() != others || s.OfOthers() != old {
			t.Errorf("got %d hits, want %d, the first of what is older: %v", s.Hits(), others, s.OfOthers() == old)
		}
		l.are(own)
	}
}

// It may be given up when half of it was said, and is found all the same.
func TestWhatTheOwnSearchGivesUpHalfway(t *testing.T) {
	const text = "and earlier-secret-0002 or earliest-secret-0003, too"
	const want = "and ******************* or ********************, too"
	for cut := range text {
		var l later
		own, old, older := secretsFrom(ownSecret), secretsFrom("earlier-secret-0002"), secretsFrom("earliest-secret-0003")
		all := NewNeedles()
		for _, one := range []*Secrets{own, old, older} {
			all.Add(one)
		}
		s := own.NewScrubber(old, older)
		s.Watch(&l, 0)
		s.Beside(all)
		got := string(s.Next([]byte(text[:cut])))
		l.are(own)
		got += scrubbed(s, text[cut:])
		if got != want || s.HitsOfOthers() != 2 {
			t.Fatalf("cut at %d: got %q with %d hits of others, want %q with 2", cut, got, s.HitsOfOthers(), want)
		}
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

// masksOf is what Needles do, said the plain way.
func masksOf(text []byte, secrets []*Secrets) []byte {
	inLower := func(s []byte) []byte {
		s = bytes.Clone(s)
		for i, c := range s {
			s[i] = lower(c)
		}
		return s
	}
	out, folded := bytes.Clone(text), inLower(text)
	for _, s := range secrets {
		for _, l := range s.literals() {
			n := inLower([]byte(l))
			for from := 0; ; from++ {
				i := bytes.Index(folded[from:], n)
				if i < 0 {
					break
				}
				from += i
				blank(out, from, from+len(n))
			}
		}
	}
	return out
}

// FuzzNeedles holds the search in pieces, while secrets come and go before it, to the
// plain one.
func FuzzNeedles(f *testing.F) {
	f.Add([]byte("tokens-of-one-issuer-0001 tokens-of-one-issuer-0002"), uint8(7), uint8(0))
	f.Add([]byte("aaaaaaaaaaaaaaabaaaaaaaaabaaaabaaa"), uint8(1), uint8(3))
	f.Add([]byte(base64.URLEncoding.EncodeToString([]byte("u:"+canary))), uint8(3), uint8(1))
	f.Add([]byte("abcdefghijklmnop-abcdefgh-efghijkl"), uint8(2), uint8(8))
	values := []string{canary, "aaaaaaab", "aaabaaab", "aaaaaaaaaaaab", "tokens-of-one-issuer-0001", "tokens-of-one-issuer-0002", "tokens-of-one",
		"abcdefghijkl", "efghijklmnop", "abcdefgh", "\\\"&%=\n\n ", "abcdefghijklmnop"}
	secrets, none := make([]*Secrets, len(values)), secretsFrom("")
	for i, v := range values {
		secrets[i] = secretsFrom(v)
	}
	f.Fuzz(func(t *testing.T, text []byte, size, gone uint8) {
		all := NewNeedles()
		var left []*Secrets
		for _, one := range secrets {
			all.Add(one)
		}
		for i, one := range secrets {
			if gone>>(i%8)&1 == 1 {
				all.Remove(one)
			} else {
				left = append(left, one)
			}
		}
		want := masksOf(text, left)
		s := none.NewScrubber()
		s.Beside(all)
		if got := s.String(string(text)); got != string(want) {
			t.Fatalf("whole:\n got %q\nwant %q", got, want)
		}
		hits := s.Hits()
		var got []byte
		for rest := range slices.Chunk(text, int(size)+1) {
			got = append(got, s.Next(rest)...)
		}
		got = append(got, s.Rest()...)
		if !bytes.Equal(got, want) {
			t.Fatalf("in pieces of %d:\n got %q\nwant %q", int(size)+1, got, want)
		}
		if now := s.Hits() - hits; (now > 0) != (hits > 0) {
			t.Fatalf("in pieces of %d: got %d hits, and %d in the whole", int(size)+1, now, hits)
		}
	})
}

// However many come and go, the filter is of those that are there.
func TestManyNeedles(t *testing.T) {
	all := NewNeedles()
	secrets := make([]*Secrets, 1500)
	token := func(i int) string { return randomToken(uint64(i))[4:] } // each begins in another way
	for i := range secrets {
		secrets[i] = secretsFrom(token(i))
		all.Add(secrets[i])
	}
	check := func(there func(i int) bool) {
		t.Helper()
		s := secretsFrom().NewScrubber() // one of its own would hold back what that may begin with
		s.Beside(all)
		for i := range secrets {
			text := token(i) + " " + base64.StdEncoding.EncodeToString([]byte(token(i))) + "\n"
			want := text
			if there(i) {
				want = strings.Repeat("*", len(token(i))) + " " + strings.Repeat("*", len(text)-len(token(i))-2) + "\n"
			}
			if got := told(s, text); got != want {
				t.Fatalf("secret %d: got %q, want %q", i, got, want)
			}
		}
		if all.set().heads.full() {
			t.Error("got a filter that says yes too often")
		}
	}
	check(func(int) bool { return true })
	for i, one := range secrets {
		if i%10 != 0 {
			all.Remove(one)
		}
	}
	check(func(i int) bool { return i%10 == 0 })
	for _, one := range secrets {
		all.Add(one)
	}
	check(func(int) bool { return true })
}

// Under churn each answer is searched for what is there all the while.
func TestNeedlesUnderChurn(t *testing.T) {
	all := NewNeedles()
	for i := range 50 {
		all.Add(secretsFrom(randomToken(uint64(i))))
	}
	stay := secretsFrom("secret-that-stays-here")
	all.Add(stay)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 300 {
				one := secretsFrom(randomToken(uint64(1000 + 1000*g + i)))
				all.Add(one)
				all.Remove(one)
			}
		})
		wg.Go(func() {
			s := besideAll(all)
			for i := range 500 {
				text := randomToken(uint64(i)) + " secret-that-stays-here "
				got := string(s.Message([]byte(text)))
				if len(got) != len(text) || strings.Contains(got, "stays") || i < 50 && strings.Contains(got, "ghs_") {
					t.Errorf("got %q of %q", got, text)
					return
				}
			}
		})
	}
	wg.Wait()
	if all.Len() != 51 {
		t.Errorf("got %d left, want 51", all.Len())
	}
}

// randomToken is of the form of a GitHub App's.
func randomToken(seed uint64) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	r := rand.New(rand.NewPCG(seed, 1))
	b := []byte("ghs_")
	for len(b) < 40 {
		b = append(b, letters[r.IntN(len(letters))])
	}
	return string(b)
}

// BenchmarkNeedles is the search of an answer for what 10,000 others were served with,
// by how their tokens begin.
func BenchmarkNeedles(b *testing.B) {
	for _, tokens := range []struct {
		name string
		of   func(seed uint64) string
	}{
		{"one beginning", randomToken},
		{"no beginning", func(seed uint64) string { return randomToken(seed)[4:] }},
		{"JWT", func(seed uint64) string {
			return "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6IjEifQ.eyJpc3MiOiJodHRwczovL2FzLmV4YW1wbGUub3JnIiw" + strings.Repeat(randomToken(seed)[4:], 20)
		}},
	} {
		for _, count := range []int{100, 10_000} {
			secrets := make([]*Secrets, count)
			for i := range secrets {
				secrets[i] = secretsFrom(tokens.of(uint64(i)))
			}
			before, all := inUse(), NewNeedles()
			for _, one := range secrets {
				all.Add(one)
			}
			each := float64(inUse()-before) / float64(count)
			b.Run(fmt.Sprintf("%s/%d", tokens.name, count), func(b *testing.B) {
				s, at := besideAll(all), int64(0) // the search for the own one is BenchmarkScrub
				body := append(answerOf(64<<10), '\n')
				b.SetBytes(int64(len(body)))
				b.ReportAllocs()
				for b.Loop() {
					at += int64(len(body))
					if s.beside.next(s, body, at); s.beside.held(at) < at {
						b.Fatal("lost bytes")
					}
				}
				b.ReportMetric(each, "B/credential")
			})
			runtime.KeepAlive(secrets)
		}
	}
}

// inUse returns how many bytes of memory are.
func inUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkNeedlesAdd is what each lease costs once, among 10,000.
func BenchmarkNeedlesAdd(b *testing.B) {
	all := NewNeedles()
	for i := range 10_000 {
		all.Add(secretsFrom(randomToken(uint64(i))))
	}
	one := secretsFrom(randomToken(1 << 20))
	b.ReportAllocs()
	for b.Loop() {
		all.Add(one)
		all.Remove(one)
	}
}

// A secret within the first bytes of a longer one is masked though a pause follows it, of
// which so few bytes of the longer one tell nothing.
func TestAnothersSecretWithinTheBeginningOfALongerOne(t *testing.T) {
	const long, within = "beginsABCDEFGH-and-goes-on-for-long", "ABCDEFGH"
	for _, size := range []int{1, 2, 5, len(long)} {
		s := amongOthers(long, within)
		var got []byte
		for text := []byte("x " + long[:14]); len(text) > 0; {
			n := min(size, len(text))
			got = append(got, s.Next(text[:n])...)
			text = text[n:]
		}
		got = append(got, s.Due(s.Came())...)
		if want := "x begins********"; string(got) != want {
			t.Errorf("in pieces of %d: got %q, want %q", size, got, want)
		}
	}
}

// Of one that begins there no more is shown than of any.
func TestAnothersSecretThatBeginsWithinTheBeginningOfALongerOne(t *testing.T) {
	const long, within = "bABCDEFGHIJKLMNO-and-goes-on-for-long", "ABCDEFGHIJKLMNO+"
	for _, size := range []int{1, 2, 5, len(long)} {
		s := amongOthers(long, within)
		var got []byte
		for text := []byte("x " + long[:12]); len(text) > 0; {
			n := min(size, len(text))
			got = append(got, s.Next(text[:n])...)
			text = text[n:]
		}
		got = append(got, s.Due(s.Came())...)
		if want := "x b"; string(got) != want {
			t.Errorf("in pieces of %d: got %q, want %q", size, got, want)
		}
	}
}
