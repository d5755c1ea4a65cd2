package main

import (
	"crypto/ed25519"
	"fmt"
	"maps"
	"slices"

	"mintmark/broker/audit"
	"mintmark/cmd/mintbench/load"
)

// recordReport is what reading the record back showed.
type recordReport struct {
	records  uint64 // in the log
	answered uint64 // calls that got their answer
	missing  uint64 // of these, calls without a record of their own
	first    string // one of the missing
	mints    map[string]int
}

// readRecord verifies the log in dir against public, and joins its records to
// the calls that were answered. A call counts as recorded by an allowing
// decision under its own trace id that names an agent and a credential.
func readRecord(dir string, public ed25519.PublicKey, targets []*load.Target) (recordReport, error) {
	verified, err := audit.Verify(dir, public)
	switch {
	case err != nil:
		return recordReport{}, fmt.Errorf("verify the record: %w", err)
	case !verified.OK:
		return recordReport{}, fmt.Errorf("verify the record: %w", verified.FirstBad)
	case verified.Torn > 0 || verified.Unsigned > 0:
		return recordReport{}, fmt.Errorf("verify the record: got %d records unsigned and %d bytes torn after an orderly end, want none", verified.Unsigned, verified.Torn)
	}
	j := newJoin(targets)
	for r, err := range audit.Query(dir, audit.Filter{}) {
		if err != nil {
			return recordReport{}, fmt.Errorf("read the record: %w", err)
		}
		j.take(&r)
	}
	return j.report(verified.Records), nil
}

// join finds the record of each call.
type join struct {
	targets  []*load.Target
	recorded [][]bool // by target and number
	mints    map[string]int
}

func newJoin(targets []*load.Target) *join {
	j := &join{targets: targets, mints: map[string]int{}}
	for _, t := range targets {
		j.recorded = append(j.recorded, make([]bool, t.Numbers.Count()))
	}
	return j
}

func (j *join) take(r *audit.Record) {
	switch {
	case r.Kind == audit.Issuance && r.Event == "mint":
		j.mints[r.Provider]++
	case r.Kind == audit.Decision && r.Allow && r.Agent != "" && r.Credential != "":
		for i, t := range j.targets {
			if n, ok := t.Numbers.Of(r.Trace); ok {
				j.recorded[i][n] = true
			}
		}
	}
}

func (j *join) report(records uint64) recordReport {
	out := recordReport{records: records, mints: j.mints}
	for i, t := range j.targets {
		for n, recorded := range j.recorded[i] {
			if !t.Numbers.Answered(uint64(n)) {
				continue
			}
			out.answered++
			if !recorded {
				out.missing++
				out.first = fmt.Sprintf("call %d to %s", n, t.Name)
			}
		}
	}
	return out
}

// err returns why the figures of this run are worth nothing, or nil. minted is
// what the token endpoint counted, by client.
func (r *recordReport) err(minted map[string]int) error {
	if r.missing > 0 {
		return fmt.Errorf("%d of %d answered calls are missing in the record, such as %s", r.missing, r.answered, r.first)
	}
	for _, client := range slices.Sorted(maps.Keys(minted)) {
		if recorded := r.mints[client+"-token"]; recorded != minted[client] {
			return fmt.Errorf("the record has %d mints for %s, and the token endpoint made %d", recorded, client, minted[client])
		}
	}
	return nil
}
