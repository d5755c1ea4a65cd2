package bundle

import "strings"

// HoldsSecret reports whether s has a form that only secrets have.
func HoldsSecret(s string) bool { return scanner{leaks: leaks()}.find(s) != "" }

// Zones returns the time zones that are suggested.
func Zones() []string { return strings.Fields(zones) }
