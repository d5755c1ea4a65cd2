package providers_test

import (
	"iter"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mintmark/broker/audit"
	"mintmark/providers"
	"mintmark/providers/internal/providertest"
)

// told yields records of what "event credential handle" say, by provider "db" of one
// issuer unless a fourth and a fifth word say otherwise.
func told(end time.Time, lines ...string) iter.Seq2[audit.Record, error] {
	return func(yield func(audit.Record, error) bool) {
		for i, line := range lines {
			w := append(strings.Fields(line), "db", "issuer-1")
			for len(w) > 5 { // what was said comes first
				w = append(w[:3], w[3:5]...)
			}
			r := audit.Record{Seq: uint64(i) + 1, Kind: audit.Issuance, Event: w[0], Credential: w[1], Lease: w[2], Provider: w[3], Issuer: w[4], SystemEnd: end}
			if !yield(r, nil) {
				return
			}
		}
	}
}

// A handle that a system gave out more than once ends all that was made under it before.
func TestWhatOneHandleEndsIsNoOrphan(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, tt := range map[string]struct {
		lines []string
		want  string // credentials
	}{
		"one of two is named":         {[]string{"mint a h", "mint b h", "revoke b h"}, ""},
		"the first is named":          {[]string{"mint a h", "mint b h", "revoke a h"}, ""},
		"held again before":           {[]string{"mint a h", "mint b h", "held a h", "revoke b h"}, ""},
		"neither ended":               {[]string{"mint a h", "mint b h"}, "b"},
		"it failed":                   {[]string{"mint a h", "mint b h", "revoke_failed b h"}, "b"},
		"given out once more":         {[]string{"mint a h", "mint b h", "revoke b h", "mint c h"}, "c"},
		"what could not serve":        {[]string{"mint a h", "mint_failed b h", "mint_late c h", "revoke a h"}, ""},
		"as orphans":                  {[]string{"orphan a h", "orphan b h", "revoke b h"}, ""},
		"another handle":              {[]string{"mint a h", "mint b other", "revoke b other"}, "a"},
		"another provider's":          {[]string{"mint a h", "mint b h elsewhere", "revoke b h elsewhere"}, "a"},
		"another issuer's":            {[]string{"mint a h", "mint b h db issuer-2", "revoke b h db issuer-2"}, "a"},
		"a renewal that gave another": {[]string{"mint a h", "mint b h", "renew a other", "revoke b h"}, "a"},
		"a login":                     {[]string{"login a h", "login b h", "logout b h"}, ""},
		"a login is no lease":         {[]string{"mint a h", "login b h", "logout b h"}, "a"},
	} {
		var got []string
		for _, r := range providers.Orphans(told(now.Add(time.Hour), tt.lines...), now, slog.New(slog.DiscardHandler)) {
			got = append(got, r.Credential)
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: got orphans %q, want %q", name, got, tt.want)
		}
	}
}

// Of one handle the later end counts, and none is the latest.
func TestTheLaterEndOfOneHandleCounts(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, ends := range [][2]time.Time{{now.Add(time.Hour), now.Add(time.Minute)}, {now.Add(time.Minute), now.Add(time.Hour)}, {{}, now.Add(time.Hour)}, {now.Add(time.Hour), {}}} {
		left := providers.Orphans(func(yield func(audit.Record, error) bool) {
			told(ends[0], "mint a h")(yield)
			told(ends[1], "mint b h")(yield)
		}, now.Add(30*time.Minute), slog.New(slog.DiscardHandler))
		want := now.Add(time.Hour)
		if ends[0].IsZero() || ends[1].IsZero() {
			want = time.Time{}
		}
		if len(left) != 1 || !left[0].SystemEnd.Equal(want) {
			t.Errorf("of ends at %v: got %+v, want one orphan until %v", ends, left, want)
		}
	}
}

// So nothing is left once the last lease of what is given out twice was revoked; and after a
// crash it is revoked once.
func TestOneHandleIsRevokedOnceAndIsNoOrphan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := giving("h", "h")
		r := newRig(t, map[string]providers.Entry{"db": {Provider: p, PerAgent: true}})
		must(t, r, providertest.Agent(t, "spiffe://a.test/1"))
		must(t, r, providertest.Agent(t, "spiffe://a.test/2"))
		if left := r.Orphans(t); len(left) != 1 || left[0].Lease != "h" {
			t.Errorf("after a crash: got %+v, want one", left)
		}
		r.Stop(t)
		if left := r.Orphans(t); len(left) != 0 || strings.Join(p.revoked, " ") != "h" {
			t.Errorf("after the end: got %q revoked and %+v left, want the handle once and none", p.revoked, left)
		}
	})
}
