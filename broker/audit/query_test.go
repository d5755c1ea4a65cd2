package audit_test

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"mintmark/broker/audit"
)

func queryLog(t *testing.T) (dir string, start time.Time) {
	t.Helper()
	dir, start = t.TempDir(), time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	now := start
	l := mustOpen(t, audit.Options{Directory: dir, SegmentSize: 500, Clock: func() time.Time { return now }})
	for _, rec := range []*audit.Record{
		{Kind: audit.Decision, Call: "c1", Agent: "spiffe://x/a", Upstream: "github", Tool: "get", Allow: true, Credential: "k1", Provider: "vault"},
		{Kind: audit.Outcome, Call: "c1", Agent: "spiffe://x/a", Upstream: "github", Tool: "get", Status: 200, Credential: "k1"},
		{Kind: audit.Decision, Call: "c2", Agent: "spiffe://x/b", Upstream: "github", Tool: "delete", Fault: "denied"},
		{Kind: audit.Issuance, Event: "mint", Credential: "k1", Provider: "vault"},
		{Kind: audit.Issuance, Event: "mint_failed", Provider: "vault"},
		{Kind: audit.Admin, Event: "bundle"},
		{Kind: audit.Posture, Event: "changed", Subject: "spiffe://x/b", Posture: []audit.PostureFact{{Name: "scan", Value: "fail"}}},
	} {
		mustAppend(t, l, rec)
		now = now.Add(time.Minute)
	}
	mustClose(t, l)
	return dir, start
}

func TestQueryFilters(t *testing.T) {
	dir, start := queryLog(t)
	for name, row := range map[string]struct {
		filter audit.Filter
		want   string
	}{
		"all":          {audit.Filter{}, "1 2 3 4 5 6 7"},
		"agent":        {audit.Filter{Agent: "spiffe://x/a"}, "1 2"},
		"its posture":  {audit.Filter{Agent: "spiffe://x/b"}, "3 7"},
		"agent prefix": {audit.Filter{Agent: "spiffe://x"}, ""},
		"upstream":     {audit.Filter{Upstream: "github"}, "1 2 3"},
		"tool":         {audit.Filter{Tool: "delete"}, "3"},
		"credential":   {audit.Filter{Credential: "k1"}, "1 2 4"},
		"as shown":     {audit.Filter{Credential: "vault/k1"}, "1 2 4"},
		"of another":   {audit.Filter{Credential: "oauth/k1"}, "2"}, // an outcome does not say
		"without id":   {audit.Filter{Credential: "vault/"}, "5"},
		"provider":     {audit.Filter{Provider: "vault"}, "1 4 5"},
		"no provider":  {audit.Filter{Provider: "vaul"}, ""},
		"call":         {audit.Filter{Call: "c1"}, "1 2"},
		"kind":         {audit.Filter{Kind: audit.Issuance}, "4 5"},
		"allowed":      {audit.Filter{Outcome: "allow"}, "1"},
		"denied":       {audit.Filter{Outcome: "deny"}, "3"},
		"since":        {audit.Filter{Since: start.Add(2 * time.Minute)}, "3 4 5 6 7"},
		"until":        {audit.Filter{Until: start.Add(2 * time.Minute)}, "1 2"},
		"both":         {audit.Filter{Agent: "spiffe://x/a", Kind: audit.Decision}, "1"},
	} {
		var got []string
		for _, rec := range records(t, dir, row.filter) {
			got = append(got, fmt.Sprint(rec.Seq))
		}
		if s := strings.Join(got, " "); s != row.want {
			t.Errorf("%s: got %q, want %q", name, s, row.want)
		}
	}
}

func TestQueryRefusesFiltersThatSelectNothing(t *testing.T) {
	dir, _ := queryLog(t)
	for _, f := range []audit.Filter{{Kind: "gossip"}, {Outcome: "allowed"}} {
		n := 0
		for rec, err := range audit.Query(dir, f) {
			if n++; err == nil || rec.Seq != 0 {
				t.Errorf("%+v: got %+v and %v, want an error only", f, rec, err)
			}
		}
		if n != 1 {
			t.Errorf("%+v: got %d answers, want one error", f, n)
		}
	}
}

func TestQueryNamesBadLinesAndGoesOn(t *testing.T) {
	dir, _ := queryLog(t)
	rewrite(t, dir, 1, func(l [][]byte) [][]byte {
		return append([][]byte{[]byte("garbage\n"), bytes.Repeat([]byte("x"), 5<<20), []byte("\n"), []byte(`{"seq":"one"}` + "\n"), []byte("{}\n")}, l...)
	})
	last := segments(t, dir)[len(segments(t, dir))-1]
	writeFile(t, last, append(readFile(t, last), `{"prev":"0`...))
	var seqs, errs []string
	for rec, err := range audit.Query(dir, audit.Filter{}) {
		if err != nil {
			errs = append(errs, err.Error())
			continue
		}
		seqs = append(seqs, fmt.Sprint(rec.Seq))
	}
	if got := strings.Join(seqs, " "); got != "1 2 3 4 5 6 7" {
		t.Errorf("got records %q", got)
	}
	if len(errs) != 4 {
		t.Fatalf("got errors %q, want 4", errs)
	}
	for i, err := range errs {
		if want := fmt.Sprintf("00000001.log:%d: ", i+1); !strings.Contains(err, want) {
			t.Errorf("got %q, want it to name %s", err, want)
		}
	}
}

func TestQueryStopsWhenToldTo(t *testing.T) {
	dir, _ := queryLog(t)
	n := 0
	for _, err := range audit.Query(dir, audit.Filter{}) {
		_ = err
		if n++; n == 2 {
			break
		}
	}
	if n != 2 {
		t.Fatalf("got %d records, want 2", n)
	}
	for _, err := range audit.Query(dir+"-none", audit.Filter{}) {
		if !os.IsNotExist(unwrapAll(err)) {
			t.Fatalf("got %v for no directory", err)
		}
	}
}

func unwrapAll(err error) error {
	for {
		inner, ok := err.(interface{ Unwrap() error })
		if !ok || os.IsNotExist(err) {
			return err
		}
		err = inner.Unwrap()
	}
}
