package injector

// What the search in one answer may cost, in steps: ways that are looked at, and
// parts that are kept, for each credential that is searched for. Ordinary text costs
// less than one a byte. A token that does not repeat itself never comes to the bound, but
// where its first character alone comes byte by byte, some thirty thousand times: what is
// not known to go on is followed in all forms.
const (
	firstSteps   = 1 << 21 // whatever its length
	stepsPerByte = 64
	// mostIdle is how long what stands between two characters of a secret, or how one is
	// escaped, may be: six levels of JSON in JSON write 63 backslashes. Were it without an end,
	// a right guess before a megabyte of such would be seen by the clock.
	mostIdle = 200
)

// Spent reports whether the search took more steps than an answer of this length
// may cost. From then on nothing is given out: the answer can't be searched for
// secrets in good time, and is to be cut.
func (s *Scrubber) Spent() bool {
	for m := range s.searches() {
		if m.spent {
			return true
		}
	}
	return s.beside.spent()
}

// spend ends the search when what was read up to now cost too much.
func (s *search) spend(now int64) {
	if int64(s.ways.seen) > firstSteps+stepsPerByte*(now+s.aside) {
		s.spent = true
	}
}

// stays reports whether c leads from p to p alone: one more backslash of many, where
// they are not counted.
func (f *form) stays(p place, c byte) bool {
	return c == '\\' && p.at == backslash && f.text[p.pos] != '\\'
}
