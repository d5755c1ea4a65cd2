package broker_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"mintmark/broker"
)

// A shell makes of the command that is shown the words that were meant, whatever
// a server calls its tool.
func TestTheCommandThatApprovesIsSafeToPaste(t *testing.T) {
	for _, tool := range []string{"lookup_order", "look up", "$(touch x)", "`id`", "it's", "a;b", "", "é", "--all", `"\`, "*"} {
		command := broker.Approval("/etc/mint mark", "orders", tool, "4f2c1b9a7d30")
		words, ok := strings.CutPrefix(command, "mintmark ")
		if !ok {
			t.Fatalf("got %q, want a command of mintmark", command)
		}
		out, err := exec.CommandContext(t.Context(), "bash", "-c", `printf '%s\n' `+words).Output()
		if err != nil {
			t.Fatalf("%q: %v", command, err)
		}
		want := []string{"upstream", "approve", "--dir", "/etc/mint mark", "--digest", "4f2c1b9a7d30", "orders", tool}
		if strings.HasPrefix(tool, "-") {
			want = slices.Insert(want, 6, "--")
		}
		if got := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n"); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", command, got, want)
		}
	}
}
