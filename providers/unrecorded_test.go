package providers_test

import (
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"mintmark/broker/audit"
	"mintmark/providers"
)

// What was kept and not recorded is found by the escrow alone.
func TestWhatIsInEscrowAndOnNoRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left, s := killed(t, showing(time.Hour), 3)
		known, agents := left[:1], []string{left[1].Agent, left[2].Agent}
		slices.Sort(agents)
		for _, name := range []string{"garbage", "db.of-another"} {
			s.kept[name] = s.kept[s.names()[0]]
		}
		s.kept["garbage"] = []byte("garbage")
		names := s.names()
		found := providers.Unrecorded(s, names, known, time.Now(), quiet())
		s.checkOverwritten(t, len(names)-len(known))
		var got []string
		for _, r := range found {
			got = append(got, r.Agent)
			if r.Event != "orphan" || !r.Escrow || r.Provider != "db" || r.Credential == "" || r.SystemEnd.IsZero() || r.Kind != audit.Issuance {
				t.Errorf("got the record %+v", r)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, agents) || len(s.names()) != 3 {
			t.Errorf("got %q and %v in escrow, want %q, and what nobody can read erased", got, s.names(), agents)
		}
		p := showing(time.Hour)
		r := one(t, p, s.use)
		r.Adopt(t.Context(), append(slices.Clone(known), found...))
		synctest.Wait()
		if !p.ended(1) || !p.ended(2) || !p.ended(3) || len(s.names()) != 0 {
			t.Errorf("got %v in escrow, want all revoked", s.names())
		}
		r.Stop(t)

		left, s = killed(t, showing(time.Hour), 2)
		pass(time.Hour)
		if found := providers.Unrecorded(s, s.names(), nil, time.Now(), quiet()); len(found) != 0 || len(s.names()) != 0 || len(left) != 2 {
			t.Errorf("past their end: got %+v and %v in escrow", found, s.names())
		}
	})
}

// What can't be read now, as where a process has too many files open, may be at the next
// start: it is all that can end a token.
func TestWhatCannotBeReadNowStaysInEscrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for want, err := range map[string]error{
			"the next start": &fs.PathError{Op: "openat", Path: "db.0", Err: syscall.EMFILE},
			"":               &fs.PathError{Op: "statat", Path: "db.0", Err: syscall.ENOENT}, // erased meanwhile
		} {
			_, s := killed(t, showing(time.Hour), 1)
			s.onFind = func() error { return err }
			var logged strings.Builder
			if found := providers.Unrecorded(s, s.names(), nil, time.Now(), slog.New(slog.NewTextHandler(&logged, nil))); len(found) != 0 || len(s.names()) != 1 {
				t.Errorf("%v: got %+v and %v in escrow, want it left", err, found, s.names())
			}
			if got := logged.String(); !strings.Contains(got, want) || (want == "") != (got == "") {
				t.Errorf("%v: logged %q, want %q", err, got, want)
			}
		}
	})
}
