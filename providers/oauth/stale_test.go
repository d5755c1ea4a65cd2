package oauth_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mintmark/internal/fault"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
	"mintmark/providers/oauth"
)

// changing is a host whose metadata is answered as a test says.
type changing struct {
	*httptest.Server
	answer atomic.Pointer[http.HandlerFunc] // nil: as it should be
	read   atomic.Int64
}

func newChanging(t *testing.T) *changing {
	t.Helper()
	c := &changing{}
	mux := http.NewServeMux()
	mux.HandleFunc(rfc8414, func(w http.ResponseWriter, r *http.Request) {
		c.read.Add(1)
		if h := c.answer.Load(); h != nil {
			(*h)(w, r)
			return
		}
		ok(strings.ReplaceAll(good, "{}", c.URL))(w, r)
	})
	mux.HandleFunc("/token", ok(bearer))
	c.Server = httptest.NewServer(mux)
	t.Cleanup(c.Close)
	return c
}

func (c *changing) says(h http.HandlerFunc) { c.answer.Store(&h) }

func (c *changing) config(t *testing.T) oauth.Config {
	return oauth.Config{Issuer: providertest.URL(t, c.URL), ClientID: "mintmark", ClientSecret: providertest.Ref(t, canary)}
}

func hangUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// hang answers when the client has given up.
func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func TestMetadataThatCannotBeReadAgain(t *testing.T) {
	const wrong = `{"issuer":"https://evil.example.org","token_endpoint":"https://evil.example.org/token"}`
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		goesOn bool
	}{
		"server error":        {answer(500, "text/html", canary), true},
		"limited":             {answer(429, "text/html", canary), true},
		"hangs up":            {hangUp, true},
		"a page of another's": {answer(200, "text/html", canary), true},
		"another issuer":      {ok(wrong), false},
		"no token endpoint":   {ok(`{}`), false},
		"of another form":     {ok(`{"issuer":7}`), false},
		"none any more":       {answer(404, "text/html", canary), false},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Now()
			var logged providertest.Buffer
			c := newChanging(t)
			p := open(t, c.config(t), providers.Env{Clock: func() time.Time { return now }, Logger: slog.New(slog.NewTextHandler(&logged, nil))})
			mints := func() error {
				_, err := p.Mint(t.Context(), providers.Request{})
				return err
			}
			if err := mints(); err != nil {
				t.Fatal(err)
			}
			c.says(tt.answer)
			now = now.Add(10*time.Minute + time.Second)
			if err := mints(); (err == nil) != tt.goesOn {
				t.Fatalf("at the first failure: got %v, want the old metadata used: %t", err, tt.goesOn)
			}
			if !tt.goesOn {
				c.says(answer(500, "text/html", canary))
				if err := mints(); err == nil {
					t.Error("got the old metadata used after it was contradicted")
				}
				return
			}
			tried := c.read.Load()
			if err := mints(); err != nil || c.read.Load() != tried {
				t.Errorf("at once after that: got %v and another try, want none yet", err)
			}
			if got := logged.String(); strings.Count(got, "can't be read again") != 1 || !strings.Contains(got, c.URL) || strings.Contains(got, canary) {
				t.Errorf("log: got %q, want one warning that names the issuer", got)
			}
			now = now.Add(time.Hour - 2*time.Second)
			if err := mints(); err != nil || c.read.Load() == tried {
				t.Errorf("after an hour less: got %v and %d reads, want it used, and tried again", err, c.read.Load())
			}
			now = now.Add(time.Minute)
			if err := mints(); fault.KindOf(err) != fault.Unavailable {
				t.Errorf("after more than an hour: got %v, want the outage", err)
			}
			c.answer.Store(nil)
			if err := mints(); err != nil {
				t.Errorf("when it is back: got %v", err)
			}
		})
	}
}

// A server that hangs leaves a mint, which has ten seconds, the time to use what is
// known.
func TestMetadataThatHangsLeavesTimeToMint(t *testing.T) {
	now := time.Now()
	c := newChanging(t)
	p := open(t, c.config(t), providers.Env{Clock: func() time.Time { return now }})
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 9*time.Second)
		if _, err := p.Mint(ctx, providers.Request{}); err != nil {
			t.Errorf("got %v, want the old metadata used in time", err)
		}
		cancel()
		c.says(hang)
		now = now.Add(11 * time.Minute)
	}
}

// Metadata of the issuer that a resource named before is not used for the one that
// it names now.
func TestStaleMetadataIsOfTheIssuerThatTheResourceNames(t *testing.T) {
	now := time.Now()
	h := newHost(t, map[string]string{rfc9728 + "/mcp": `{"resource":"{}/mcp","authorization_servers":["{}"]}`, rfc8414: good})
	c := oauth.Config{Discover: true, Resource: h.URL + "/mcp", ClientID: "mintmark", AuthStyle: "private_key_jwt", Key: newKey(t).ref}
	p := open(t, c, providers.Env{Clock: func() time.Time { return now }})
	if _, err := p.Mint(t.Context(), providers.Request{}); err != nil {
		t.Fatal(err)
	}
	now = now.Add(11 * time.Minute)
	down := httptest.NewServer(answer(500, "text/html", ""))
	defer down.Close()
	h.documents[rfc9728+"/mcp"] = `{"resource":"{}/mcp","authorization_servers":["` + down.URL + `"]}`
	if _, err := p.Mint(t.Context(), providers.Request{}); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("got %v, want no mint at the server that was named before", err)
	}
}
