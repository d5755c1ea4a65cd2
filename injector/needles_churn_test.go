package injector

import (
	"encoding/base64"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
)

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
