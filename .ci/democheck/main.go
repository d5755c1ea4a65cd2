// Command democheck reads what "mintmark demo --once --json" printed and judges
// its last line: the record must have verified, and no secret may have leaked.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	out, err := io.ReadAll(os.Stdin)
	if err == nil {
		err = check(string(out))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// check judges the last line of out. A field that is not there is no success.
func check(out string) error {
	out = strings.TrimRight(out, "\n")
	last := out[strings.LastIndexByte(out, '\n')+1:]
	var got struct {
		AuditVerified *bool `json:"audit_verified"`
		Leaks         *int  `json:"leaks"`
	}
	if err := json.Unmarshal([]byte(last), &got); err != nil {
		return fmt.Errorf("read the last line %q: %w", last, err)
	}
	var faults []error
	if got.AuditVerified == nil || !*got.AuditVerified {
		faults = append(faults, errors.New("audit_verified: want true"))
	}
	if got.Leaks == nil || *got.Leaks != 0 {
		faults = append(faults, errors.New("leaks: want 0"))
	}
	if len(faults) > 0 {
		return fmt.Errorf("%w, in %s", errors.Join(faults...), last)
	}
	return nil
}
