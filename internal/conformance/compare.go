package conformance

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Table is a comparison of runs. The zero one is empty and may be added to.
type Table struct{ rows []row }

// row is one scenario of one revision in both runs. A nil scenario did not run.
type row struct {
	revision, name  string
	direct, through *Scenario
}

// Add compares two runs of a revision: one on the server itself and one through
// Mintmark.
func (t *Table) Add(revision string, direct, through Run) {
	for i := range direct.Scenarios {
		s := &direct.Scenarios[i]
		t.rows = append(t.rows, row{revision, s.Name, s, find(through, s.Name)})
	}
	for i := range through.Scenarios {
		if s := &through.Scenarios[i]; find(direct, s.Name) == nil {
			t.rows = append(t.rows, row{revision, s.Name, nil, s})
		}
	}
}

func find(r Run, name string) *Scenario {
	i := slices.IndexFunc(r.Scenarios, func(s Scenario) bool { return s.Name == name })
	if i < 0 {
		return nil
	}
	return &r.Scenarios[i]
}

// Count returns how many scenarios are equal and how many differ.
func (t *Table) Count() (equal, differ int) {
	for _, r := range t.rows {
		if len(r.differences()) == 0 {
			equal++
		} else {
			differ++
		}
	}
	return equal, differ
}

// Write writes a line for each scenario, then one for each check that differs,
// and last the line "conformance: N scenarios equal, M differ".
func (t *Table) Write(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	lines, notes := []string{"revision\tscenario\tdirect\tvia Mintmark"}, []string{}
	for _, r := range t.rows {
		line := strings.Join([]string{r.revision, r.name, r.direct.summary(), r.through.summary()}, "\t")
		for i, d := range r.differences() {
			if i == 0 {
				line += "\tDIFFERS"
			}
			notes = append(notes, r.revision+" "+r.name+": "+d)
		}
		lines = append(lines, line)
	}
	equal, differ := t.Count()
	notes = append(notes, fmt.Sprintf("conformance: %d scenarios equal, %d differ", equal, differ))
	if _, err := fmt.Fprintln(table, strings.Join(append(lines, notes...), "\n")); err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	return table.Flush()
}

// summary says how many checks of each kind there were.
func (s *Scenario) summary() string {
	if s == nil {
		return "did not run"
	}
	count := map[string]int{}
	for _, check := range s.Checks {
		count[check.Status]++
	}
	text := fmt.Sprintf("%d passed, %d failed", count["SUCCESS"], count["FAILURE"])
	for _, other := range []string{"WARNING", "SKIPPED"} {
		if count[other] > 0 {
			text += fmt.Sprintf(", %d %s", count[other], strings.ToLower(other))
		}
	}
	return text
}

// differences returns what one run has and the other has not. Equal counts are
// not enough: the same checks must have come out the same way, and must have
// failed for the same reason where both failed.
func (r row) differences() (list []string) {
	if r.direct == nil || r.through == nil {
		return []string{"it ran on one side only"}
	}
	list = append(list, without("direct", r.direct, r.through)...)
	return append(list, without("via Mintmark", r.through, r.direct)...)
}

// without returns the outcomes of a that b lacks, each as often as it does.
func without(side string, a, b *Scenario) (list []string) {
	rest := map[Check]int{}
	for _, check := range b.outcomes() {
		rest[check]++
	}
	for _, check := range a.outcomes() {
		if rest[check]--; rest[check] < 0 {
			list = append(list, oneLine(fmt.Sprintf("%s only: %s %s %s", side, check.ID, check.Status, check.Message)))
		}
	}
	return list
}

// outcomes returns the checks that have one. INFO is the suite's own diary: how
// many there are depends on how the network cut a stream into pieces.
func (s *Scenario) outcomes() (list []Check) {
	for _, check := range s.Checks {
		if check.Status != "INFO" {
			list = append(list, check)
		}
	}
	return list
}

// oneLine keeps a message from being taken for a line or a column of the table.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
