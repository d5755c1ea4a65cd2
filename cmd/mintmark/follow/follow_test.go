package follow_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mintmark/attest"
	"mintmark/attest/jwtsvid"
	"mintmark/broker"
	"mintmark/broker/bundle"
	"mintmark/cmd/mintmark/follow"
	"mintmark/internal/trustdomain"
)

const (
	never = time.Hour // longer than any test
	often = 20 * time.Millisecond
)

// site is a broker, the directory it was opened from, and who follows that.
type site struct {
	t         *testing.T
	dir       string
	metrics   string
	logged    screen
	directory *follow.Directory
	broker    *broker.Broker
	asked     chan os.Signal
}

// newSite opens a broker whose directory is watched, and not followed yet.
func newSite(t *testing.T, rescan time.Duration) *site {
	t.Helper()
	s := &site{t: t, dir: filepath.Join(t.TempDir(), "site"), metrics: freeAddress(t), asked: make(chan os.Signal, 1)}
	trusted, err := trustdomain.New("example.org", trustdomain.Options{}).MarshalBundle()
	if err != nil {
		t.Fatal(err)
	}
	s.write("bundle.json", string(trusted))
	s.write("policies.cedar", "")
	s.write("mintmark.yaml", `
trust_domain: example.org
trust: {bundles: [{trust_domain: example.org, file: bundle.json}]}
listeners: [{address: "127.0.0.1:0", plaintext: true}]
attestors: [{kind: jwt-svid, audience: mintmark}]
upstreams: {orders: {url: "http://127.0.0.1/mcp", unauthenticated: true}}
audit: {directory: "`+t.TempDir()+`"}
metrics: `+s.metrics+"\n")
	logger := slog.New(slog.NewTextHandler(&s.logged, nil))
	if s.directory, err = follow.Open(s.dir, follow.Options{Logger: logger, Rescan: rescan}); err != nil {
		t.Fatal(err)
	}
	kinds := broker.Kinds{Attestors: map[string]broker.Kind[broker.AttestorEnv, attest.Attestor]{
		"jwt-svid": broker.KindOf(func(c jwtsvid.Config, env broker.AttestorEnv) (attest.Attestor, error) {
			return jwtsvid.Open(c, env.Trust)
		})}}
	bd, err := bundle.Load(s.dir, kinds.Settings())
	if err != nil {
		t.Fatal(err)
	}
	if s.broker, err = broker.Open(t.Context(), broker.Options{Bundle: bd, Kinds: kinds}); err != nil {
		t.Fatal(err)
	}
	return s
}

// follow runs the broker and follows its directory until the test ends.
func (s *site) follow() {
	ctx, stop := context.WithCancel(s.t.Context())
	var parts sync.WaitGroup
	parts.Go(func() {
		if err := s.broker.Run(ctx); err != nil {
			s.t.Error(err)
		}
	})
	parts.Go(func() { s.directory.Run(ctx, s.broker, s.asked) })
	s.t.Cleanup(func() {
		stop()
		parts.Wait()
		if err := s.broker.Close(context.WithoutCancel(ctx)); err != nil {
			s.t.Error(err)
		}
		if err := s.directory.Close(); err != nil {
			s.t.Error(err)
		}
	})
}

func (s *site) write(name, content string) {
	s.t.Helper()
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// link moves a file out of the directory and puts a link in its place. It
// returns where the file is.
func (s *site) link(name string) string {
	s.t.Helper()
	target := filepath.Join(s.t.TempDir(), name)
	if err := os.Rename(filepath.Join(s.dir, name), target); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Symlink(target, filepath.Join(s.dir, name)); err != nil {
		s.t.Fatal(err)
	}
	return target
}

// followed follows, and returns when what the start of it sets off is over: what
// changes from here on must be found otherwise. It returns the bundle in force.
func (s *site) followed() string {
	s.t.Helper()
	s.follow()
	before := s.broker.Digest()
	s.write("z.cedar", "")
	s.awaitOther(before)
	return s.broker.Digest()
}

// awaitOther waits until another bundle than the one named is in force.
func (s *site) awaitOther(digest string) {
	s.t.Helper()
	await(s.t, "another bundle in force", func() bool { return s.broker.Digest() != digest })
}

// reloads returns a count from the broker's own metrics.
func (s *site) reloads(outcome string) (n int) {
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://"+s.metrics+"/metrics", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		return 0 // it does not serve yet
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(content), `mintmark_reloads_total{outcome="`+outcome+`"} `)
	if ok {
		if _, err := fmt.Sscan(rest, &n); err != nil {
			s.t.Fatal(err)
		}
	}
	return n
}

// A broker takes long to open: what changes meanwhile is in force as soon as it
// runs.
func TestAChangeBeforeItRunsIsNotLost(t *testing.T) {
	s := newSite(t, never)
	before := s.broker.Digest()
	s.write("policies.cedar", "forbid (principal, action, resource);")
	s.follow()
	s.awaitOther(before)
	await(t, "that in the log", func() bool { return strings.Contains(s.logged.String(), "bundle applied") })
}

// The watch may be of a directory that was replaced before the broker read it.
func TestAChangeThatGaveNoNoticeBeforeItRunsIsNotLost(t *testing.T) {
	s := newSite(t, never)
	before := s.broker.Digest()
	replace(t, s)
	s.follow()
	s.awaitOther(before)
}

// replace puts another directory in the place of the site's.
func replace(t *testing.T, s *site) {
	t.Helper()
	other := s.dir + ".new"
	if err := os.CopyFS(other, os.DirFS(s.dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(other, "policies.cedar"), []byte("forbid (principal, action, resource);"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(s.dir, s.dir+".old"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(other, s.dir); err != nil {
		t.Fatal(err)
	}
}

func TestAChangeIsAppliedAndABrokenOneIsNot(t *testing.T) {
	s := newSite(t, never)
	s.follow()
	first := s.broker.Digest()
	s.write("policies.cedar", "forbid (principal, action, resource);")
	s.awaitOther(first)
	second := s.broker.Digest()

	s.write("mintmark.yaml", "upstreams: none\n") // refused when it is read
	await(t, "its refusal in the log", func() bool { return strings.Contains(s.logged.String(), "the old one stays in force") })
	if got := s.broker.Digest(); got != second {
		t.Errorf("a broken mintmark.yaml: got bundle %s, want %s", got, second)
	}
	if got := s.reloads("refused"); got != 1 {
		t.Errorf("refused: got %d, want 1", got)
	}
	if got := s.reloads("applied"); got != 1 {
		t.Errorf("applied: got %d, want 1", got)
	}
}

// What is behind a link, or comes with another directory in the place of this
// one, changes without notice.
func TestAChangeWithoutNotice(t *testing.T) {
	for name, change := range map[string]func(*testing.T, *site) func(){
		"behind a link": func(t *testing.T, s *site) func() {
			target := s.link("policies.cedar")
			return func() {
				if err := os.WriteFile(target, []byte("forbid (principal, action, resource);"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		},
		"with another directory": func(t *testing.T, s *site) func() { return func() { replace(t, s) } },
	} {
		t.Run(name, func(t *testing.T) {
			t.Run("is found after a while", func(t *testing.T) {
				s := newSite(t, often)
				do := change(t, s)
				before := s.followed()
				do()
				s.awaitOther(before)
			})
			t.Run("is found when asked", func(t *testing.T) {
				s := newSite(t, never)
				do := change(t, s)
				before := s.followed()
				do()
				s.asked <- syscall.SIGHUP
				s.awaitOther(before)
			})
		})
	}
}

// A directory that stays broken is tried again, in case what it lacks comes,
// and said once; asked, it says so again.
func TestADirectoryThatStaysBrokenIsLoggedOnce(t *testing.T) {
	s := newSite(t, often)
	s.follow()
	s.write("policies.cedar", "permit (")
	await(t, "three tries", func() bool { return s.reloads("refused") >= 3 })
	if got := strings.Count(s.logged.String(), "bundle refused"); got != 1 {
		t.Errorf("got %d lines of its refusal, want 1, in %q", got, s.logged.String())
	}
	s.asked <- syscall.SIGHUP
	await(t, "the refusal again", func() bool { return strings.Count(s.logged.String(), "bundle refused") == 2 })
}

// The last word of the log is not a refusal of what is there no more.
func TestWhatIsPutBackAfterARefusalIsLogged(t *testing.T) {
	s := newSite(t, never)
	s.follow()
	before := s.broker.Digest()
	s.write("policies.cedar", "permit (")
	await(t, "its refusal in the log", func() bool { return strings.Contains(s.logged.String(), "bundle refused") })
	s.write("policies.cedar", "")
	await(t, "that it is over in the log", func() bool { return strings.Contains(s.logged.String(), "the bundle in force is what the files say") })
	if got := s.broker.Digest(); got != before || strings.Contains(s.logged.String(), "bundle applied") {
		t.Errorf("got bundle %s for %s, and in the log %q, want nothing applied", got, before, s.logged.String())
	}
	s.asked <- syscall.SIGHUP
	s.write("policies.cedar", "forbid (principal, action, resource);")
	s.awaitOther(before)
	if got := strings.Count(s.logged.String(), "what the files say"); got != 1 {
		t.Errorf("got %d lines of it, want 1", got)
	}
}

func TestOpenOfNoDirectoryFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "nowhere")
	if _, err := follow.Open(dir, follow.Options{}); err == nil || !strings.Contains(err.Error(), "watch "+dir+": ") {
		t.Errorf("got %v, want an error that names %s", err, dir)
	}
}

// freeAddress returns a loopback address that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// await polls until yes, and fails the test when it stays no.
func await(t *testing.T, what string, yes func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !yes() {
		select {
		case <-deadline:
			t.Fatalf("wait for %s: it does not come", what)
		case <-tick.C:
		}
	}
}

// screen is what was logged so far.
type screen struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

// String returns all of it.
func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}
