package posture

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// merge joins the facts about several subjects by the rules of Tracker.Facts.
func merge(now time.Time, subjects []string, lists [][]Fact, total int) []Fact {
	out := make([]Fact, 0, total)
	for i, list := range lists {
		for _, f := range list {
			if spokenFor(lists[:i], f.Name) {
				continue
			}
			if joined, ok := join(now, subjects, lists, f.Name); ok {
				out = append(out, joined)
			}
		}
	}
	slices.SortFunc(out, byName)
	return out
}

func byName(a, b Fact) int { return cmp.Compare(a.Name, b.Name) }

func allFresh(list []Fact, now time.Time) bool {
	return !slices.ContainsFunc(list, func(f Fact) bool { return !f.FreshAt(now) })
}

// join returns the one fact that all of lists amount to for name, or false
// when it is unknown.
func join(now time.Time, subjects []string, lists [][]Fact, name string) (Fact, bool) {
	var out Fact
	known, differ, failed := false, false, false
	digests, covered := 0, 0
	for i, list := range lists {
		digest := strings.HasPrefix(subjects[i], "sha256:")
		if digest {
			digests++
		}
		at := find(list, name)
		if at < 0 {
			continue
		}
		f := list[at]
		if !f.FreshAt(now) {
			return Fact{}, false
		}
		if digest {
			covered++
		}
		differ = differ || known && f.Value != out.Value
		failed = failed || f.Value == "fail"
		if !known || worse(f, out) {
			out, known = f, true
		}
	}
	complete := covered == 0 || covered == digests
	return out, known && complete && (!differ || failed)
}

// worse reports whether f is to be preferred to old: a failure to anything
// else, and otherwise the older observation.
func worse(f, old Fact) bool {
	if (f.Value == "fail") != (old.Value == "fail") {
		return f.Value == "fail"
	}
	return f.ObservedAt.Before(old.ObservedAt)
}

func spokenFor(lists [][]Fact, name string) bool {
	for _, list := range lists {
		if find(list, name) >= 0 {
			return true
		}
	}
	return false
}

func find(list []Fact, name string) int {
	for i := range list {
		if list[i].Name == name {
			return i
		}
	}
	return -1
}
