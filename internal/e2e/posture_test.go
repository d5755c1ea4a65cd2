//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

const (
	scanHint = "have this workload scanned"
	scanned  = permitShop + `
@id("fresh-scan")
@hint("` + scanHint + `")
forbid (principal, action == Action::"tools/call", resource)
unless { context.posture has scan && context.posture.scan.value == "pass" };
`
	postureSite = `
posture:
  scan: {kind: trivy, folder: scans, max_age: 24h}
upstreams:
  shop: {url: %q, unauthenticated: true}
`
)

// report is a Trivy report of an age, whose worst finding has a severity.
func report(age time.Duration, severity string) string {
	return fmt.Sprintf(`{"SchemaVersion": 2, "CreatedAt": %q, "ArtifactName": "shop", "ArtifactType": "container_image",
		"Results": [{"Target": "shop", "Class": "os-pkgs", "Type": "debian", "Vulnerabilities": [
			{"VulnerabilityID": "CVE-2025-0001", "PkgName": "libexample", "InstalledVersion": "1.0-1", "Severity": %q}]}]}`,
		time.Now().Add(-age).UTC().Format(time.RFC3339Nano), severity)
}

// scan writes the scan report of an agent of the trust domain.
func (m *mintmark) scan(t *testing.T, agent, report string) {
	t.Helper()
	m.write(t, "scans/spiffe/example.org/"+agent+".json", report)
}

// rescan writes a report and returns when the broker knows of it.
func (m *mintmark) rescan(t *testing.T, report string) {
	t.Helper()
	before := len(m.records(t, "--kind", "posture"))
	m.scan(t, "agent/shop", report)
	await(t, "the report to be read", func() bool { return len(m.records(t, "--kind", "posture")) > before })
}

func testPosture(t *testing.T, w *world) {
	m := w.serve(t, site{policies: scanned, scans: map[string]string{"agent/shop": report(time.Hour, "LOW")},
		config: fmt.Sprintf(postureSite, newUpstream(t, stateless(newServer())).url)})
	session := m.agent(t, evidence{id: shopID, bearer: true}).connect(t, "shop", nil)
	call(t, session, "headers", nil)
	passed := m.last(t, "--kind", "decision", "--tool", "headers")
	if len(passed.Posture) != 1 || passed.Posture[0].Value != "pass" || passed.Posture[0].Age < 3600 || passed.Posture[0].Issuer != "scan/trivy" {
		t.Errorf("record: got %+v, want the fact with its age and issuer", passed.Posture)
	}

	for _, step := range []struct {
		name, report string
		facts        int // that policy sees
	}{
		{"bad", report(0, "CRITICAL"), 1},
		{"stale", report(25*time.Hour, "LOW"), 0},
	} {
		m.rescan(t, step.report)
		if reason := refused(t, session, "headers", nil); !strings.Contains(reason, scanHint) {
			t.Errorf("%s: got %q, want the policy's hint", step.name, reason)
		}
		denied := m.last(t, "--kind", "decision", "--tool", "headers")
		if denied.Allow || !slices.Equal(denied.Policies, []string{"fresh-scan"}) || len(denied.Posture) != step.facts {
			t.Errorf("%s: got record %+v, want a denial by fresh-scan on %d facts", step.name, denied, step.facts)
		}
	}
	m.rescan(t, report(0, "LOW"))
	call(t, session, "headers", nil)
}

// newStreamer adds the tool stream, which says the words as progress until
// there are no more. It ends with the test: the SDK's server does not tell it
// that nobody listens any longer.
func newStreamer(t *testing.T, server *mcp.Server, words <-chan string) {
	addTool(server, "stream", func(ctx context.Context, r *mcp.CallToolRequest, _ struct{}) (string, error) {
		for n := 1.0; ; n++ {
			select {
			case <-t.Context().Done():
				return "", t.Context().Err()
			case word, more := <-words:
				if !more {
					return "the end", nil
				}
				progress := &mcp.ProgressNotificationParams{ProgressToken: r.Params.GetProgressToken(), Progress: n, Message: word}
				if err := r.Session.NotifyProgress(ctx, progress); err != nil {
					return "", err
				}
			}
		}
	})
}

// stream is a call of the tool stream that is under way.
type stream struct {
	words  chan string // to say
	heard  chan string
	result chan streamed
}

type streamed struct {
	text string
	err  error
}

// say has the upstream say a word and waits until the agent heard it.
func (s *stream) say(t *testing.T, word string) {
	t.Helper()
	s.words <- word
	if got := recv(t, "progress", s.heard); got != word {
		t.Errorf("progress: got %q, want %q", got, word)
	}
}

// newStream begins a call through a broker that serves the site of posture with
// the given policies and limits.
func (w *world) newStream(t *testing.T, policies, limits string) (*mintmark, *stream) {
	t.Helper()
	s := &stream{words: make(chan string, 16), heard: make(chan string, 16), result: make(chan streamed, 1)}
	server := newServer()
	newStreamer(t, server, s.words)
	m := w.serve(t, site{policies: policies, scans: map[string]string{"agent/shop": report(time.Hour, "LOW")},
		config: fmt.Sprintf(postureSite, newUpstream(t, stateless(server)).url) + limits})
	session := m.agent(t, evidence{id: shopID, bearer: true}).connect(t, "shop", &mcp.ClientOptions{
		ProgressNotificationHandler: func(_ context.Context, r *mcp.ProgressNotificationClientRequest) { s.heard <- r.Params.Message },
	})
	params := &mcp.CallToolParams{Name: "stream"}
	params.SetProgressToken("p1")
	go func() {
		result, err := session.CallTool(t.Context(), params)
		if err != nil {
			s.result <- streamed{err: err}
			return
		}
		s.result <- streamed{text: textOf(result)}
	}()
	s.say(t, "begun")
	return m, s
}

// What turned bad ends a stream that is under way: nothing more of it reaches
// the agent.
func testPostureCutsStream(t *testing.T, w *world) {
	m, s := w.newStream(t, scanned, "")
	s.say(t, "more")
	m.rescan(t, report(0, "CRITICAL"))
	s.words <- "too late"
	if got := recv(t, "the end of the call", s.result); got.err == nil {
		t.Errorf("call: got %q, want it cut", got.text)
	}
	if len(s.heard) != 0 || strings.Contains(m.received.String(), "too late") {
		t.Error("agent: got what was said after the scan turned bad")
	}
	decision := m.last(t, "--kind", "decision", "--tool", "stream")
	if out := m.outcome(t, decision); !decision.Allow || out.Step != "answer" || !strings.Contains(out.Reason, scanHint) {
		t.Errorf("record: got %+v and %+v, want the end by policy", decision, out)
	}
}

// officeHours holds at noon of one weekday, and not at midnight.
const officeHours = permitShop + `
@id("office-hours")
@hint("closed")
forbid (principal, action == Action::"tools/call", resource)
unless { context.clock.shop.weekday == %q && context.clock.shop.minute_of_day >= 540 && context.clock.shop.minute_of_day < 1020 };
`

// zoneAt returns a time zone in which it is now some minute of an hour.
func zoneAt(now time.Time, hour int) string {
	east := (hour - now.UTC().Hour() + 24) % 24
	if east > 12 {
		east -= 24
	}
	return fmt.Sprintf("Etc/GMT%+d", -east) // their sign is the other way round
}

// The same agent, tool and moment: what differs is where the clock hangs.
func testLocalTime(t *testing.T, w *world) {
	now := time.Now()
	noon, err := time.LoadLocation(zoneAt(now, 12))
	if err != nil {
		t.Fatal(err)
	}
	config := "\nclocks: {shop: %s}\nupstreams:\n  shop: {url: " + newUpstream(t, stateless(newServer())).url + ", unauthenticated: true}\n"
	policy := fmt.Sprintf(officeHours, strings.ToLower(now.In(noon).Weekday().String()))
	m := w.serve(t, site{policies: policy, config: fmt.Sprintf(config, noon)})
	session := m.agent(t, evidence{id: shopID}).connect(t, "shop", nil)
	call(t, session, "headers", nil)
	if open := m.last(t, "--kind", "decision", "--tool", "headers"); !open.Allow || !slices.Equal(open.Policies, []string{"shop"}) {
		t.Errorf("at noon: got record %+v, want it allowed by shop", open)
	}

	m.apply(t, "mintmark.yaml", strings.Replace(m.config, noon.String(), zoneAt(now, 0), 1))
	if reason := refused(t, session, "headers", nil); !strings.Contains(reason, "closed") {
		t.Errorf("at midnight: got %q, want the policy's hint", reason)
	}
	if closed := m.last(t, "--kind", "decision", "--tool", "headers"); closed.Allow || !slices.Equal(closed.Policies, []string{"office-hours"}) {
		t.Errorf("at midnight: got record %+v, want it denied by office-hours", closed)
	}
}
