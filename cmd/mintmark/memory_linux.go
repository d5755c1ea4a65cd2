package main

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// guardMemory keeps what the process holds in memory, secrets above all, from a
// core dump and from other processes of the same user, who could read it as a
// debugger does. workloadAPI is the URL of the Workload API, or "".
//
// A SPIRE agent that runs as the same user could no longer see which program asks
// it (its selectors unix:path and unix:sha256), so that beside such a one the memory
// stays readable to that user; guarded is false then.
func guardMemory(workloadAPI string) (guarded bool, err error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil || limit != (unix.Rlimit{}) {
		if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
			return false, fmt.Errorf("forbid core dumps: %w", err)
		}
	}
	if ownSocket(workloadAPI) {
		return false, nil
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return false, fmt.Errorf("forbid other processes to read the memory: %w", err)
	}
	return true, nil
}

// ownSocket reports whether the socket is one of this process's user, who is not
// root: root may look anyway.
func ownSocket(workloadAPI string) bool {
	path, ok := strings.CutPrefix(workloadAPI, "unix:")
	if !ok || os.Geteuid() == 0 {
		return false
	}
	var info unix.Stat_t
	err := unix.Stat("/"+strings.TrimLeft(path, "/"), &info)
	return err == nil && int(info.Uid) == os.Geteuid()
}
