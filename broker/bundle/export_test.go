package bundle

// HoldsSecret reports whether s has a form that only secrets have.
func HoldsSecret(s string) bool { return scanner{leaks: leaks()}.find(s) != "" }
