package injector

// Hits returns how many times a secret was masked.
func (s *Scrubber) Hits() int { return s.own.hits + s.HitsOfOthers() }

// HitsOfOthers returns how many of the hits were of secrets that s is not of: what the
// same workload got before, or others did.
func (s *Scrubber) HitsOfOthers() int {
	hits := s.late.hits
	for i := range s.others {
		hits += s.others[i].hits
	}
	if s.beside.found != nil {
		hits += s.beside.found.hits
	}
	return hits
}

// OfOthers returns the name of the Secrets of one of those hits, or "". After the first hit
// it is that one's, and where one search found what another found the beginning of, the
// longer.
func (s *Scrubber) OfOthers() string {
	of, longest := s.late.of, s.late.longest
	for i := range s.others {
		if m := &s.others[i]; m.hits > 0 && m.matcher.limit > longest {
			of, longest = m.of.named(), m.matcher.limit
		}
	}
	if longest == 0 && s.beside.found != nil {
		return s.beside.found.first
	}
	return of
}
