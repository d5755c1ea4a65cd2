package broker

import (
	"fmt"
	"strings"

	"mintmark/internal/owned"
)

// approver returns as whom an operator has to approve: as whoever can leave the file
// with the broker.
func approver(broker owned.User) string {
	if broker.IsRoot() {
		return "root"
	}
	return "root or " + broker.Name()
}

// approval is the command that puts a changed definition in force, and no other.
// A tool's name is a server's own words, and is quoted: an operator pastes them
// into a shell.
func approval(dir, upstream, tool, digest string) string {
	end := "" // of the flags
	if strings.HasPrefix(tool, "-") {
		end = "-- "
	}
	return fmt.Sprintf("mintmark upstream approve --dir %s --digest %s %s%s %s", shellQuoted(dir), digest, end, upstream, shellQuoted(tool))
}

// shellQuoted returns s as one word of a POSIX shell.
func shellQuoted(s string) string {
	plain := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("_-./:@,+", r)
	}
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !plain(r) }) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
