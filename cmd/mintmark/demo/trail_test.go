package demo

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"testing"

	"mintmark/broker/audit"
)

// The demo's "leaks 0" is worth something only if a leak would be counted,
// wherever it is.
func TestLeaksAreCounted(t *testing.T) {
	token := base64.StdEncoding.EncodeToString([]byte("a-minted-token"))
	for name, c := range map[string]struct {
		leak func(*show)
		want int
	}{
		"none":                       {func(*show) {}, 0},
		"a token in an answer":       {func(s *show) { _, _ = s.received.Write([]byte(`{"text":"a-minted-token"}`)) }, 1},
		"in base64":                  {func(s *show) { _, _ = s.received.Write([]byte(token)) }, 1},
		"the client secret, logged":  {func(s *show) { _, _ = s.logged.Write([]byte("secret=" + s.issuer.secret)) }, 1},
		"what the agent made up":     {func(s *show) { _, _ = s.logged.Write([]byte(madeUp)) }, 1},
		"what the agent presents":    {func(s *show) { _, _ = s.logged.Write([]byte("Bearer an.agents.token")) }, 1},
		"in the record":              {func(s *show) { record(t, s, "reason: a-minted-token") }, 1},
		"in all three, in two forms": {func(s *show) { leakEverywhere(t, s, "a-minted-token "+token) }, 3},
	} {
		s := &show{world: &world{dir: t.TempDir(), issuer: &issuer{secret: "the-client-secret", issued: []string{"a-minted-token"}}}, tokens: []string{"an.agents.token"}}
		c.leak(s)
		if n, err := s.leaks(); n != c.want || err != nil {
			t.Errorf("%s: got %d leaks, %v, want %d", name, n, err, c.want)
		}
	}
}

func record(t *testing.T, s *show, text string) {
	t.Helper()
	if err := os.MkdirAll(s.log(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.log(), "00000001.log"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func leakEverywhere(t *testing.T, s *show, text string) {
	t.Helper()
	_, _ = s.received.Write([]byte(text))
	_, _ = s.logged.Write([]byte(text))
	record(t, s, text)
}

func TestCountsComeFromRecords(t *testing.T) {
	var c counts
	for _, r := range []audit.Record{
		{Kind: audit.Admin, Event: "start"},
		{Kind: audit.Issuance, Event: "mint"},
		{Kind: audit.Issuance, Event: "mint_failed"},
		{Kind: audit.Decision, Allow: true},
		{Kind: audit.Decision, Allow: true, Cached: true},
		{Kind: audit.Outcome, Allow: true},
		{Kind: audit.Decision},
	} {
		c.count(r)
	}
	if want := (counts{Calls: 3, Allowed: 2, Denied: 1, Minted: 1, CacheHits: 1}); c != want {
		t.Errorf("got %+v, want %+v", c, want)
	}
}

func TestNumbersAgreeWithTheirNouns(t *testing.T) {
	for n, want := range map[uint64]string{0: "0 checkpoints", 1: "1 checkpoint", 2: "2 checkpoints"} {
		if got := several(n, "checkpoint"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
