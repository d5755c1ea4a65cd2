package main

import (
	"os"
	"regexp"
	"strconv"
	"testing"
)

// What is asked for is marked (hg) in the flags of the process's memory, where the system
// has huge pages, and takes no memory until it is used.
func TestTheHeapGrowsInHugePages(t *testing.T) {
	_, err := os.Stat("/sys/kernel/mm/transparent_hugepage")
	growInHugePages(spare)
	maps, failed := os.ReadFile("/proc/self/smaps")
	if failed != nil {
		t.Fatal(failed)
	}
	marked := regexp.MustCompile(`(?m)^Size: +(\d+) kB\n(?:\w+: .*\n)*?Rss: +(\d+) kB\n(?:\w+: .*\n)*?VmFlags:.* hg`)
	found := marked.FindStringSubmatch(string(maps))
	if has, got := err == nil, found != nil; has != got {
		t.Fatalf("huge pages on this system: %t, memory that is marked: %t\n%s", has, got, found)
	}
	if found == nil {
		return // there are none to ask for
	}
	size, _ := strconv.Atoi(found[1])
	if used, _ := strconv.Atoi(found[2]); size < spare>>10 || used > size/2 {
		t.Errorf("got %d kB marked, %d of them used, want %d unused", size, used, spare>>10)
	}
}
