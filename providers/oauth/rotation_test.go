package oauth_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mintmark/broker/bundle"
	"mintmark/internal/fault"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
	"mintmark/providers/oauth"
)

const grantEnded = "the credential provider's grant has ended: an operator must authorize the broker anew"

// rotating is a server that gives a new refresh token each time and takes none
// twice.
type rotating struct {
	mu    sync.Mutex
	n     int
	codes int
	state string
	wrong []string
}

// ServeHTTP answers a token request.
func (s *rotating) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = r.ParseForm()
	switch {
	case r.PostForm.Get("grant_type") == "authorization_code" && r.PostForm.Get("code") == canary+"-code" && r.PostForm.Get("code_verifier") == canary+"-verifier":
		if s.codes++; s.codes > 1 {
			s.wrong = append(s.wrong, "a code came twice")
		}
	case r.PostForm.Get("refresh_token") != fmt.Sprintf("%s-%d", canary, s.n):
		answer(400, "application/json", `{"error":"invalid_grant"}`)(w, r)
		return
	}
	s.n++
	ok(fmt.Sprintf(`{"access_token":"t","token_type":"Bearer","expires_in":60,"refresh_token":"%s-%d"}`, canary, s.n))(w, r)
}

func (s *rotating) config(t *testing.T) oauth.Config {
	c := serve(t, s.ServeHTTP)
	s.state = filepath.Join(t.TempDir(), "state", "tickets")
	c.RefreshToken = &oauth.RefreshToken{Token: providertest.Ref(t, canary+"-0"), State: bundle.Path(s.state)}
	return c
}

// Many mints at once, of two providers as around a reload: one owner at a time.
func TestRotationHasOneOwner(t *testing.T) {
	s := &rotating{}
	c := s.config(t)
	a, b := open(t, c, providers.Env{}), open(t, c, providers.Env{})
	var group sync.WaitGroup
	failed := make(chan error, 40)
	for i := range 40 {
		group.Go(func() {
			p := a
			if i%2 == 0 {
				p = b
			}
			_, err := p.Mint(t.Context(), providers.Request{})
			failed <- err
		})
	}
	group.Wait()
	close(failed)
	for err := range failed {
		if err != nil {
			t.Errorf("got %v, want each to have its turn", err)
		}
	}
	if s.n != 40 {
		t.Errorf("got %d rotations, want 40", s.n)
	}
}

func TestCodeIsSentOnce(t *testing.T) {
	s := &rotating{}
	c := s.config(t)
	c.RefreshToken = nil
	c.AuthorizationCode = &oauth.AuthorizationCode{
		Code: providertest.Ref(t, canary+"-code"), Verifier: providertest.Ref(t, canary+"-verifier"), RedirectURI: "http://127.0.0.1/", State: bundle.Path(s.state),
	}
	for range 3 {
		if _, err := open(t, c, providers.Env{}).Mint(t.Context(), providers.Request{}); err != nil {
			t.Fatal(err)
		}
	}
	if s.codes != 1 || len(s.wrong) > 0 || s.n != 3 {
		t.Errorf("got %d codes in %d requests, want the code first and then refresh tokens", s.codes, s.n)
	}
}

func TestCodeWithoutAnAnswerIsSpent(t *testing.T) {
	var asked atomic.Int32 // the abort tells the test nothing of what was before
	c := serve(t, func(http.ResponseWriter, *http.Request) {
		asked.Add(1)
		panic(http.ErrAbortHandler)
	})
	c.AuthorizationCode = &oauth.AuthorizationCode{
		Code: providertest.Ref(t, canary), Verifier: providertest.Ref(t, canary), RedirectURI: "http://127.0.0.1/", State: bundle.Path(filepath.Join(t.TempDir(), "s")),
	}
	p := open(t, c, providers.Env{})
	if _, err := p.Mint(t.Context(), providers.Request{}); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("no answer: got %v, want unavailable", err)
	}
	if _, err := p.Mint(t.Context(), providers.Request{}); fault.HintOf(err) != grantEnded || asked.Load() != 1 {
		t.Errorf("again: got %v and %d requests, want the code not to be sent twice", err, asked.Load())
	}
}

// An outage is no end of a grant, whatever is said in it.
func TestRefreshTokenOutlivesAnOutage(t *testing.T) {
	for name, refuse := range map[string]http.HandlerFunc{
		"a page":  answer(503, "text/html", canary),
		"a code":  answer(503, "application/json", `{"error":"invalid_grant"}`),
		"a limit": answer(429, "application/json", `{"error":"invalid_grant"}`),
	} {
		s := &rotating{}
		c := s.config(t)
		down := true
		outage := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if down {
				refuse(w, r)
				return
			}
			s.ServeHTTP(w, r)
		})
		c.TokenURL = outage.TokenURL
		p := open(t, c, providers.Env{})
		if _, err := p.Mint(t.Context(), providers.Request{}); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("%s: down: got %v, want unavailable", name, err)
		}
		down = false
		if _, err := p.Mint(t.Context(), providers.Request{}); err != nil {
			t.Errorf("%s: up again: got %v", name, err)
		}
	}
}

// What cannot be kept is not asked for: the token would be spent for nothing.
func TestStateThatCannotBeUsed(t *testing.T) {
	const inTheWay = "look at what stands there, and remove it if nobody needs it"
	mkdir := func(t *testing.T, dir string) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, tt := range map[string]struct {
		spoil      func(t *testing.T, state string)
		said, next string
	}{
		"readable by others":  {func(t *testing.T, state string) { write(t, state, `{}`, 0o640) }, "read the state: expected ", "to have mode 0600, got 0640: whoever could read it may have the grant: authorize anew, or chmod 600 it if nobody could"},
		"not ours":            {func(t *testing.T, state string) { write(t, state, canary, 0o600) }, "read the state: expected ", "remove it and authorize anew"},
		"a folder":            {mkdir, "read the state: expected ", "to be a regular file, got a directory: remove it, or name another"},
		"below a file":        {func(t *testing.T, state string) { write(t, filepath.Dir(state), "", 0o600) }, "lock the state: expected ", inTheWay},
		"a lock that is none": {func(t *testing.T, state string) { mkdir(t, state+".lock") }, "lock the state: expected ", inTheWay},
		"a loop": {func(t *testing.T, state string) {
			mkdir(t, filepath.Dir(state))
			if err := os.Symlink(state, state); err != nil {
				t.Fatal(err)
			}
		}, "read the state: expected ", inTheWay},
		"a next one in the way": {func(t *testing.T, state string) { mkdir(t, filepath.Join(filepath.Dir(state), ".tickets.next")) }, "cut short: expected ", inTheWay},
	} {
		t.Run(name, func(t *testing.T) {
			s := &rotating{}
			c := s.config(t)
			tt.spoil(t, s.state)
			r := providertest.One(t, open(t, c, providers.Env{}), canary)
			defer r.Stop(t)
			if hint := r.Refused(t, providers.Request{}, fault.Internal); hint != "the broker cannot keep the state of the credential provider" {
				t.Errorf("hint: got %q", hint)
			}
			if s.n != 0 {
				t.Errorf("got %d requests, want none", s.n)
			}
			if reason := r.Records(t)[0].Reason; !strings.Contains(reason, tt.said+filepath.Dir(s.state)) || !strings.HasSuffix(reason, tt.next) {
				t.Errorf("reason: got %q, want %q with the place, and %q", reason, tt.said, tt.next)
			}
		})
	}
}

func write(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

// The next refresh token is in the file before the access token is anybody's.
func TestNextTokenIsKeptFirst(t *testing.T) {
	s := &rotating{}
	c := s.config(t)
	for turn := range 3 {
		if _, err := open(t, c, providers.Env{}).Mint(t.Context(), providers.Request{}); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(s.state)
		if want := fmt.Sprintf("%s-%d", canary, turn+1); err != nil || !bytes.Contains(content, []byte(want)) {
			t.Errorf("turn %d: got a state without %q, %v", turn, want, err)
		}
	}
	left, err := os.ReadDir(filepath.Dir(s.state))
	if err != nil || len(left) != 2 {
		t.Errorf("folder: got %v, %v, want the state and its lock alone", left, err)
	}
}

// A public client's refresh token is bound to the key of its proofs (RFC 9449,
// section 5), so that key is kept with it.
func TestRefreshTokensKeyIsKept(t *testing.T) {
	var proofs []string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		proofs = append(proofs, r.Header.Get("DPoP"))
		ok(`{"access_token":"t","token_type":"DPoP","expires_in":60,"refresh_token":"next"}`)(w, r)
	})
	c.DPoP, c.AuthStyle, c.ClientSecret = true, "none", bundle.Ref{}
	c.RefreshToken = &oauth.RefreshToken{Token: providertest.Ref(t, canary), State: bundle.Path(filepath.Join(t.TempDir(), "s"))}
	for range 2 {
		if _, err := open(t, c, providers.Env{}).Mint(t.Context(), providers.Request{}); err != nil {
			t.Fatal(err)
		}
	}
	if len(proofs) != 2 || proofs[0] == proofs[1] || strings.Split(proofs[0], ".")[0] != strings.Split(proofs[1], ".")[0] {
		t.Errorf("got %d proofs, want two of one key", len(proofs))
	}
}

// A grant that its server has ended is not asked for again, until an operator puts
// another token.
func TestGrantThatHasEnded(t *testing.T) {
	s := &rotating{n: 7} // whose present token is somebody else's
	c := s.config(t)
	requests := 0
	counted := serve(t, func(w http.ResponseWriter, r *http.Request) {
		requests++
		s.ServeHTTP(w, r)
	})
	c.TokenURL = counted.TokenURL
	for range 3 {
		if _, err := open(t, c, providers.Env{}).Mint(t.Context(), providers.Request{}); fault.HintOf(err) != grantEnded || fault.KindOf(err) != fault.Internal {
			t.Errorf("got %v, want %q", err, grantEnded)
		}
	}
	if requests != 1 {
		t.Errorf("got %d requests, want one", requests)
	}
	c.RefreshToken.Token = providertest.Ref(t, canary+"-7")
	if _, err := open(t, c, providers.Env{}).Mint(t.Context(), providers.Request{}); err != nil {
		t.Errorf("after an operator put another: got %v", err)
	}
}

// A token whose successor is lost is not used: the next mint would be a second use of
// the one before.
func TestTokenWhoseSuccessorCannotBeKept(t *testing.T) {
	s := &rotating{}
	c := s.config(t)
	spoiled := serve(t, func(w http.ResponseWriter, r *http.Request) {
		write(t, filepath.Join(s.state, "in", "the", "way"), "", 0o600)
		s.ServeHTTP(w, r)
	})
	c.TokenURL = spoiled.TokenURL
	r := providertest.One(t, open(t, c, providers.Env{}), canary)
	defer r.Stop(t)
	if hint := r.Refused(t, providers.Request{}, fault.Internal); hint != "the broker cannot keep the state of the credential provider" {
		t.Errorf("hint: got %q", hint)
	}
}

// An answer of which something else is at fault, or that was cut off, has spent the token
// before it all the same.
func TestNextTokenIsKeptOfAnAnswerAtFault(t *testing.T) {
	for name, spoil := range map[string]func(answer string) string{
		"a malformed field": func(a string) string { return strings.Replace(a, ":60,", `:"soon",`, 1) },
		"cut off":           func(a string) string { return strings.TrimSuffix(a, "}") },
	} {
		t.Run(name, func(t *testing.T) {
			s := &rotating{}
			c := s.config(t)
			at := serve(t, func(w http.ResponseWriter, r *http.Request) {
				whole := httptest.NewRecorder()
				s.ServeHTTP(whole, r)
				text := whole.Body.String()
				if s.n == 1 {
					text = spoil(text)
				}
				answer(whole.Code, "application/json", text)(w, r)
			})
			c.TokenURL = at.TokenURL
			p := open(t, c, providers.Env{})
			if _, err := p.Mint(t.Context(), providers.Request{}); err == nil {
				t.Fatal("got no error, want one of an answer at fault")
			}
			if _, err := p.Mint(t.Context(), providers.Request{}); err != nil || s.n != 2 {
				t.Errorf("got %v after %d rotations, want the grant to go on", err, s.n)
			}
		})
	}
}

// Whoever waits for a mint may leave while the server answers: the next token comes
// but once, and is kept.
func TestNextTokenIsKeptThoughNobodyWaits(t *testing.T) {
	s := &rotating{}
	c := s.config(t)
	leaving, leave := context.WithCancel(t.Context())
	slow := serve(t, func(w http.ResponseWriter, r *http.Request) {
		leave()
		select {
		case <-r.Context().Done(): // it hung up, and the answer is lost
		case <-time.After(200 * time.Millisecond):
		}
		s.ServeHTTP(w, r)
	})
	c.TokenURL = slow.TokenURL
	p := open(t, c, providers.Env{})
	_, _ = p.Mint(leaving, providers.Request{})
	if _, err := p.Mint(t.Context(), providers.Request{}); err != nil || s.n != 2 {
		t.Errorf("got %v after %d rotations, want the grant to go on", err, s.n)
	}
}

// A disk that is full is found before a token is spent: there is room for its
// successor when it is sent.
func TestRoomIsMadeBeforeATokenIsSpent(t *testing.T) {
	s := &rotating{}
	c := s.config(t)
	var room atomic.Int64
	watched := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if info, err := os.Stat(filepath.Join(filepath.Dir(s.state), ".tickets.next")); err == nil {
			room.Store(info.Size())
		}
		s.ServeHTTP(w, r)
	})
	c.TokenURL = watched.TokenURL
	if _, err := open(t, c, providers.Env{}).Mint(t.Context(), providers.Request{}); err != nil {
		t.Fatal(err)
	}
	if got := room.Load(); got < 4096 {
		t.Errorf("got room for %d bytes while the token was under way, want 4096", got)
	}
	long := strings.Repeat("x", 9000) // as a JWT with many roles in it may be
	c.RefreshToken.Token = providertest.Ref(t, long)
	_, _ = open(t, c, providers.Env{}).Mint(t.Context(), providers.Request{})
	if got := room.Load(); got < 2*9000 {
		t.Errorf("got room for %d bytes while a token of 9000 was under way, want that for one twice as long", got)
	}
}

// A server need not give another refresh token (RFC 6749, section 6).
func TestAServerThatDoesNotRotate(t *testing.T) {
	var sent []string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		sent = append(sent, r.PostForm.Get("refresh_token"))
		ok(bearer)(w, r)
	})
	c.RefreshToken = &oauth.RefreshToken{Token: providertest.Ref(t, canary), State: bundle.Path(filepath.Join(t.TempDir(), "s"))}
	for range 2 {
		if _, err := open(t, c, providers.Env{}).Mint(t.Context(), providers.Request{}); err != nil {
			t.Fatal(err)
		}
	}
	if len(sent) != 2 || sent[0] != canary || sent[1] != canary {
		t.Errorf("got %d requests, want the same token twice", len(sent))
	}
}

// A code that brought no refresh token has brought all that it can.
func TestACodeThatBringsNoRefreshTokenIsSpent(t *testing.T) {
	requests := 0
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		requests++
		ok(bearer)(w, r)
	})
	c.AuthorizationCode = &oauth.AuthorizationCode{
		Code: providertest.Ref(t, canary), Verifier: providertest.Ref(t, canary), RedirectURI: "http://127.0.0.1/", State: bundle.Path(filepath.Join(t.TempDir(), "s")),
	}
	p := open(t, c, providers.Env{})
	if _, err := p.Mint(t.Context(), providers.Request{}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Mint(t.Context(), providers.Request{}); fault.HintOf(err) != grantEnded || requests != 1 {
		t.Errorf("again: got %v and %d requests, want the code not to be sent twice", err, requests)
	}
}
