package main

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mintmark/broker/audit"
)

// A cell is quoted where it could be taken for another, and nowhere else.
func TestCellsAreQuotedWhereTheyMustBe(t *testing.T) {
	for _, c := range []struct{ tool, wantTool, reason, wantReason string }{
		{"lookup", "lookup", `"tools/call" on tool "pay": no policy permits it`, `"\"tools/call\" on tool \"pay\": no policy permits it"`},
		{"", "-", `agent may not "tools/call" now`, `agent may not "tools/call" now`},
		{"look up", `"look up"`, "no café here", "no café here"},
		{`"lookup"`, `"\"lookup\""`, "two\nlines", `"two\nlines"`},
		{"lookup\u202e", `"lookup\u202e"`, "", "-"},
		{"\xff", `"\xff"`, "tab\there", `"tab\there"`},
	} {
		cells := row(audit.Record{Time: time.Unix(0, 0).UTC(), Kind: audit.Decision, Tool: c.tool, Reason: c.reason})
		if cells[6] != c.wantTool || cells[len(cells)-1] != c.wantReason {
			t.Errorf("%q, %q: got %s and %s, want %s and %s", c.tool, c.reason, cells[6], cells[len(cells)-1], c.wantTool, c.wantReason)
		}
	}
}

// What counts something says how much, and of what.
func TestARowSaysWhatIsCounted(t *testing.T) {
	for _, c := range []struct {
		event, reason string
		count         int64
		want          string
	}{
		{"unsigned_tail", "", 12, "records adopted without a signature: 12"},
		{"log_gap", "", 3, "records missing: 3"},
		{"torn_tail", "", 100, "bytes cut off: 100"},
		{"strangers_skipped", "more than 10 a second", 7, "more than 10 a second: 7"},
		{"tools_skipped", "too many", 5, "too many: 5"},
		{"another", "", 2, "count: 2"},
		{"start", "", 0, "-"},
	} {
		cells := row(audit.Record{Time: time.Unix(0, 0).UTC(), Kind: audit.Admin, Event: c.event, Reason: c.reason, Count: c.count})
		if got := cells[len(cells)-1]; got != c.want {
			t.Errorf("%s: got %q, want %q", c.event, got, c.want)
		}
	}
}

// A row says what a record of its kind is about.
func TestARowSaysWhatItIsAbout(t *testing.T) {
	const shop = "spiffe://example.org/agent/shop"
	fail := []audit.PostureFact{{Name: "scan", Value: "fail", AgeS: 7200, Issuer: "scan/trivy"}}
	for _, c := range []struct {
		name, want string
		record     audit.Record
	}{
		{"a fact", shop + " scan=fail, 2h0m0s old, of scan/trivy", audit.Record{Kind: audit.Posture, Event: "changed", Subject: shop, Posture: fail}},
		{"a denial on a fact", shop + " not scanned; posture: scan=fail, 2h0m0s old, of scan/trivy",
			audit.Record{Kind: audit.Decision, Agent: shop, Step: "decide", Reason: "not scanned", Policies: []string{"p"}, Posture: fail}},
		{"a denial without one", shop + " not scanned; posture: no fact that is there and not stale",
			audit.Record{Kind: audit.Decision, Agent: shop, Step: "decide", Reason: "not scanned", Policies: []string{"p"}}},
		{"a refusal of what policies allowed", shop + " the upstream can't be reached",
			audit.Record{Kind: audit.Decision, Agent: shop, Step: "forward", Reason: "the upstream can't be reached", Policies: []string{"p"}}},
		{"a denial by no policy", shop + " nobody permits it", audit.Record{Kind: audit.Decision, Agent: shop, Reason: "nobody permits it"}},
		{"a call", shop + " -", audit.Record{Kind: audit.Decision, Agent: shop, Allow: true, Policies: []string{"p"}, Bundle: "ab", Posture: fail}},
		{"a bundle", "- bundle ab12", audit.Record{Kind: audit.Admin, Event: "bundle", Bundle: "ab12"}},
		{"a bundle after all", "- did not come in force; bundle ab12", audit.Record{Kind: audit.Admin, Event: "bundle", Bundle: "ab12", Reason: "did not come in force"}},
	} {
		cells := row(c.record)
		if got := cells[3] + " " + cells[len(cells)-1]; got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// A log in which nothing is signed is anybody's, though its records are chained.
func TestALogThatWasNeverSignedIsNotVerified(t *testing.T) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	log, err := audit.Open(audit.Options{Directory: dir, SigningKey: key})
	if err != nil {
		t.Fatal(err)
	}
	_, err = log.Append(t.Context(), &audit.Record{Kind: audit.Decision, Agent: "spiffe://example.org/shop"})
	if err = errors.Join(err, log.Close()); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	if err := (verify{log: dir}).run(&said); err != nil || !strings.Contains(said.String(), `"ok":true`) {
		t.Errorf("as it was written: got %v and %s", err, said.String())
	}
	segment := filepath.Join(dir, "00000001.log")
	whole, err := os.ReadFile(segment)
	if err != nil {
		t.Fatal(err)
	}
	record, _, _ := bytes.Cut(whole, []byte("\n"))
	if err := os.WriteFile(segment, append(record, '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
	said.Reset()
	if err := (verify{log: dir}).run(&said); !errors.Is(err, errSilent) || !strings.Contains(said.String(), `"ok":false`) || !strings.Contains(said.String(), "signed checkpoint") {
		t.Errorf("without its checkpoint: got %v and %s", err, said.String())
	}
}
