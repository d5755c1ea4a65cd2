package oauth_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"mintmark/broker/bundle"
	"mintmark/internal/fault"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
	"mintmark/providers/oauth"
)

// A broker that is killed while it writes leaves the next content beside the state.
func TestAWriteThatWasCutShort(t *testing.T) {
	sum := sha256.Sum256([]byte(canary + "-0"))
	origin := hex.EncodeToString(sum[:])
	state := func(n int) string { return fmt.Sprintf(`{"origin":"%s","token":"%s-%d"}`, origin, canary, n) }
	for name, tt := range map[string]struct {
		state, left string
		serverAt    int // whose token the server takes
	}{
		"before its first byte":    {state(3), "", 3},
		"before it was written":    {state(3), string(make([]byte, 4096)), 3},
		"while it was written":     {state(3), state(4)[:40] + string(make([]byte, 4056)), 3},
		"when it was written":      {state(3), state(4) + string(make([]byte, 2000)), 4},
		"before it was in place":   {state(3), state(4), 4},
		"before the first":         {"", state(1), 1},
		"without a token":          {state(3), `{"origin":"` + origin + `","ended":true}`, 3},
		"of something else's form": {state(3), `{"origin":7}`, 3},
	} {
		t.Run(name, func(t *testing.T) {
			s := &rotating{n: tt.serverAt}
			c := s.config(t)
			if tt.state != "" {
				write(t, s.state, tt.state, 0o600)
			}
			left := filepath.Join(filepath.Dir(s.state), ".tickets.next")
			write(t, left, tt.left, 0o600)
			if _, err := open(t, c, providers.Env{}).Mint(t.Context(), providers.Request{}); err != nil {
				t.Errorf("got %v, want the grant to go on", err)
			}
			content, err := os.ReadFile(s.state)
			if want := fmt.Sprintf("%s-%d", canary, tt.serverAt+1); err != nil || !bytes.Contains(content, []byte(want)) {
				t.Errorf("got a state without %q, %v", want, err)
			}
			if found, err := os.ReadDir(filepath.Dir(s.state)); err != nil || len(found) != 2 {
				t.Errorf("folder: got %v, %v, want the state and its lock alone", found, err)
			}
		})
	}
}

// The secret goes also where nothing more is asked for.
func TestWhatWasLeftGoesWhenTheGrantHasEnded(t *testing.T) {
	s := &rotating{}
	c := s.config(t)
	sum := sha256.Sum256([]byte(canary + "-0"))
	write(t, s.state, `{"origin":"`+hex.EncodeToString(sum[:])+`","ended":true}`, 0o600)
	write(t, filepath.Join(filepath.Dir(s.state), ".tickets.next"), canary, 0o600)
	if _, err := open(t, c, providers.Env{}).Mint(t.Context(), providers.Request{}); fault.HintOf(err) != grantEnded {
		t.Errorf("got %v, want %q", err, grantEnded)
	}
	if found, err := os.ReadDir(filepath.Dir(s.state)); err != nil || len(found) != 2 {
		t.Errorf("folder: got %v, %v, want the state and its lock alone", found, err)
	}
}

// What is not the broker's own is neither used nor removed.
func TestWhatIsInTheWayOfTheNextState(t *testing.T) {
	for name, put := range map[string]func(t *testing.T, at string) error{
		"a folder":       func(_ *testing.T, at string) error { return os.Mkdir(at, 0o700) },
		"a file for all": func(_ *testing.T, at string) error { return os.WriteFile(at, []byte("{}"), 0o644) },
		"a link":         func(t *testing.T, at string) error { return os.Symlink(filepath.Join(t.TempDir(), "x"), at) },
		"a pipe":         func(_ *testing.T, at string) error { return syscall.Mkfifo(at, 0o600) },
		"a link to a file": func(t *testing.T, at string) error {
			write(t, at+"-elsewhere", "{}", 0o600)
			return os.Symlink(at+"-elsewhere", at)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := &rotating{}
			c := s.config(t)
			if err := os.MkdirAll(filepath.Dir(s.state), 0o700); err != nil {
				t.Fatal(err)
			}
			at := filepath.Join(filepath.Dir(s.state), ".tickets.next")
			if err := put(t, at); err != nil {
				t.Fatal(err)
			}
			r := providertest.One(t, open(t, c, providers.Env{}), canary)
			defer r.Stop(t)
			if hint := r.Refused(t, providers.Request{}, fault.Internal); hint != "the broker cannot keep the state of the credential provider" || s.n != 0 {
				t.Errorf("hint: got %q and %d requests, want none", hint, s.n)
			}
			if _, err := os.Lstat(at); err != nil {
				t.Errorf("got %v, want it left alone", err)
			}
		})
	}
}

// What can't be put in place stays beside the state, as the only copy of a token that
// its server gave, and the next mint goes on from it.
func TestATokenThatCannotBePutInPlaceIsNotLost(t *testing.T) {
	s := &rotating{state: filepath.Join(t.TempDir(), "state", "tickets")}
	inTheWay := true
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if inTheWay {
			if err := os.Mkdir(s.state, 0o700); err != nil {
				t.Error(err)
			}
		}
		s.ServeHTTP(w, r)
	})
	c.RefreshToken = &oauth.RefreshToken{Token: providertest.Ref(t, canary+"-0"), State: bundle.Path(s.state)}
	p := open(t, c, providers.Env{})
	for range 2 { // when it came, and when it is tried again
		r := providertest.One(t, p, canary)
		if hint := r.Refused(t, providers.Request{}, fault.Internal); hint != "the broker cannot keep the state of the credential provider" || s.n != 1 {
			t.Errorf("got %q and %d requests, want one", hint, s.n)
		}
		r.Stop(t)
	}
	inTheWay = false
	if err := os.Remove(s.state); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Mint(t.Context(), providers.Request{}); err != nil || s.n != 2 {
		t.Errorf("got %v and %d requests, want the grant to go on", err, s.n)
	}
	if found, err := os.ReadDir(filepath.Dir(s.state)); err != nil || len(found) != 2 {
		t.Errorf("folder: got %v, %v, want the state and its lock alone", found, err)
	}
}
