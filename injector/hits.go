package injector

// Hits returns how many times a secret was masked.
func (s *Scrubber) Hits() int { return s.hits + s.HitsOfOthers() }

// HitsOfOthers returns how many of the hits were of secrets that s is not of: what the
// same workload got before, or others did.
func (s *Scrubber) HitsOfOthers() int {
	hits := s.left
	for t := s.then; t != nil; t = t.then {
		hits += t.hits
	}
	if s.beside.found != nil {
		hits += s.beside.found.hits
	}
	return hits
}

// OfOthers returns the Secrets of one of those hits, or nil. After the first hit it is
// that one's.
func (s *Scrubber) OfOthers() *Secrets {
	for t := s.then; t != nil; t = t.then {
		if t.hits > 0 {
			return t.of
		}
	}
	if s.beside.found != nil {
		return s.beside.found.first
	}
	return nil
}
