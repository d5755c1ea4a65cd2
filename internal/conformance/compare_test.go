package conformance_test

import (
	"os"
	"strings"
	"testing"

	"mintmark/internal/conformance"
)

func Example() {
	direct := conformance.Run{Conforms: true, Scenarios: []conformance.Scenario{
		{Name: "ping", Checks: []conformance.Check{{ID: "ping", Status: "SUCCESS"}}},
		{Name: "caching", Checks: []conformance.Check{{ID: "ttl", Status: "SUCCESS"}, {ID: "scope", Status: "WARNING"}}},
	}}
	through := conformance.Run{Scenarios: []conformance.Scenario{
		{Name: "ping", Checks: []conformance.Check{{ID: "ping", Status: "SUCCESS"}}},
		{Name: "caching", Checks: []conformance.Check{{ID: "ttl", Status: "FAILURE", Message: "got no\nttlMs"}, {ID: "scope", Status: "WARNING"}}},
	}}
	var table conformance.Table
	table.Add("2026-07-28", direct, through)
	_ = table.Write(os.Stdout)
	// Output:
	// revision    scenario  direct                         via Mintmark
	// 2026-07-28  ping      1 passed, 0 failed             1 passed, 0 failed
	// 2026-07-28  caching   1 passed, 0 failed, 1 warning  0 passed, 1 failed, 1 warning  DIFFERS
	// 2026-07-28 caching: direct only: ttl SUCCESS
	// 2026-07-28 caching: via Mintmark only: ttl FAILURE got no ttlMs
	// conformance: 1 scenarios equal, 1 differ
}

func TestEqual(t *testing.T) {
	t.Parallel()
	scenario := func(outcomes ...string) conformance.Run {
		s := conformance.Scenario{Name: "s"}
		for _, outcome := range outcomes {
			id, rest, _ := strings.Cut(outcome, " ")
			status, message, _ := strings.Cut(rest, " ")
			s.Checks = append(s.Checks, conformance.Check{ID: id, Status: status, Message: message})
		}
		return conformance.Run{Scenarios: []conformance.Scenario{s}}
	}
	for name, c := range map[string]struct {
		direct, through conformance.Run
		equal           bool
	}{
		"same":                             {scenario("a SUCCESS", "b FAILURE"), scenario("a SUCCESS", "b FAILURE"), true},
		"same in another order":            {scenario("a SUCCESS", "b FAILURE"), scenario("b FAILURE", "a SUCCESS"), true},
		"another diary":                    {scenario("a SUCCESS", "note INFO"), scenario("a SUCCESS", "note INFO", "note INFO"), true},
		"as many passed, but not the same": {scenario("a SUCCESS", "b FAILURE"), scenario("a FAILURE", "b SUCCESS"), false},
		"one warns":                        {scenario("a SUCCESS"), scenario("a WARNING"), false},
		"one skips":                        {scenario("a SUCCESS"), scenario("a SKIPPED"), false},
		"one check more through":           {scenario("a SUCCESS"), scenario("a SUCCESS", "a SUCCESS"), false},
		"one check less through":           {scenario("a SUCCESS", "b SUCCESS"), scenario("a SUCCESS"), false},
		"fails for the same reason":        {scenario("a FAILURE got 404"), scenario("a FAILURE got 404"), true},
		"fails for another reason":         {scenario("a FAILURE got 404"), scenario("a FAILURE got 403"), false},
		"better through":                   {scenario("a FAILURE"), scenario("a SUCCESS"), false},
		"not run through":                  {scenario("a SUCCESS"), conformance.Run{}, false},
		"not run directly":                 {conformance.Run{}, scenario("a SUCCESS"), false},
		"a diary alone on one side":        {scenario("note INFO"), conformance.Run{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var table conformance.Table
			table.Add("2026-07-28", c.direct, c.through)
			equal, differ := table.Count()
			if want := map[bool]int{true: 1}[c.equal]; equal != want || differ != 1-want {
				t.Errorf("got %d equal and %d different, want equal: %v", equal, differ, c.equal)
			}
		})
	}
}

// Two revisions have scenarios of the same name, which are not compared with
// one another.
func TestRevisionsStayApart(t *testing.T) {
	t.Parallel()
	one := conformance.Run{Scenarios: []conformance.Scenario{{Name: "s", Checks: []conformance.Check{{ID: "a", Status: "SUCCESS"}}}}}
	other := conformance.Run{Scenarios: []conformance.Scenario{{Name: "s", Checks: []conformance.Check{{ID: "a", Status: "FAILURE"}}}}}
	var table conformance.Table
	table.Add("2026-07-28", one, one)
	table.Add("2025-11-25", other, other)
	if equal, differ := table.Count(); equal != 2 || differ != 0 {
		t.Errorf("got %d equal and %d different, want 2 and 0", equal, differ)
	}
}
