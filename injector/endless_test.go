package injector

import (
	"runtime"
	"slices"
	"strings"
	"testing"
)

// nearly are what comes of a secret over and over in a line without an end, none of which
// ends the answer.
func nearly(secret string) map[string]string {
	all := adversaries(secret)
	for name, unit := range slowly(secret) {
		all[name] = unit
	}
	all["whole ones"] = secret
	all["whole, one after the other"] = secret + " "
	all["four"] = secret[:4] + " "
	all["four, in strings"] = `"` + secret[:4] + `",`
	all["known by it, and on"] = secret[:9] + "!"
	for name, unit := range all {
		if strings.Contains(unit, "\n") || strings.Contains(unit, "\r") {
			delete(all, name) // they end the line
		}
	}
	return all
}

// spentOn is what an answer cost so far.
type spentOn struct {
	steps int    // that the searches count
	moved int    // bytes of what is held, to make room
	made  uint64 // bytes that were allocated
}

// stepsTaken returns the steps of all searches.
func (s *Scrubber) stepsTaken() (steps int) {
	for m := range s.searches() {
		steps += m.ways.seen
	}
	if f := s.beside.found; f != nil {
		steps += int(f.steps)
	}
	return steps
}

// keptRoom returns for how many elements there is room in all that an answer keeps.
func (s *Scrubber) keptRoom() int {
	n := cap(s.join.text) + cap(s.join.out) + cap(s.join.masks)
	for m := range s.searches() {
		n += cap(m.under.list) + cap(m.next.list) + cap(m.found)
		if a := m.across; a != nil {
			n += cap(a.parts) + cap(a.lost) + cap(a.whole)
		}
	}
	if f := s.beside.found; f != nil {
		n += cap(f.held) + cap(f.text) + cap(f.now) + cap(f.masks)
	}
	return n
}

// byteByByte has s read text byte by byte, and returns what that cost.
func byteByByte(s *Scrubber, text []byte) (cost spentOn) {
	var before, after runtime.MemStats
	steps := s.stepsTaken()
	runtime.ReadMemStats(&before)
	for i := range text {
		length := len(s.join.text)
		s.Next(text[i : i+1])
		if s.Cut() || s.Spent() {
			break
		}
		if left := len(s.join.text) - 1; left >= 0 && left < length {
			cost.moved += left
		}
	}
	runtime.ReadMemStats(&after)
	cost.steps, cost.made = s.stepsTaken()-steps, after.TotalAlloc-before.TotalAlloc
	return cost
}

// endless are searches of an answer for a secret, as a text and as a stream: one for what went
// with the call and for another that the workload got, and one beside what others got.
func endless(secret string) map[string]*Scrubber {
	other, all := hidden(randomToken(11)), NewNeedles()
	all.Add(hidden(secret))
	all.Add(other)
	made := map[string]*Scrubber{}
	for name, scrubber := range map[string]func() *Scrubber{
		"its own":   func() *Scrubber { return hidden(secret).NewScrubber(other) },
		"another's": func() *Scrubber { return besideAll(all) },
	} {
		made[name], made[name+", in parts"] = scrubber(), scrubber()
		made[name+", in parts"].AcrossParts()
	}
	return made
}

// A line without an end that comes byte by byte, of what is nearly a secret, costs for each
// byte what it cost for the first ones, and no more is kept of it: in steps, in bytes that
// are moved and in bytes that are allocated, not in time.
func TestALineWithoutAnEndCostsTheSameAllAlong(t *testing.T) {
	const size, madeEach, room = 4 << 10, 4, 8 << 10
	stepsEach := map[bool]int{true: 160, false: 48} // of the ways of each search, and of the other's literal forms
	secret := "ghs_" + longText(200)
	lasted := map[string]int{}
	for name, unit := range nearly(secret) {
		text := []byte(strings.Repeat(unit, 1+3*size/len(unit)))
		for kind, s := range endless(secret) {
			var cost [3]spentOn
			for i := range cost {
				cost[i] = byteByByte(s, text[i*size:(i+1)*size])
			}
			most, what := stepsEach[len(s.others) > 0]*size*(1+len(s.others)), name+", "+kind
			for i, c := range cost {
				if c.steps > most || c.steps > cost[0].steps+cost[0].steps/10+size {
					t.Errorf("%s: %d steps in part %d, %d in the first, want at most %d and no more than there", what, c.steps, i, cost[0].steps, most)
				}
				if c.moved > 2*size {
					t.Errorf("%s: %d bytes moved for %d that came, want at most two each", what, c.moved, size)
				}
				if i > 0 && c.made > madeEach*size {
					t.Errorf("%s: %d bytes allocated in part %d, of %d bytes, want at most %d each", what, c.made, i, size, madeEach)
				}
			}
			if kept := s.keptRoom(); kept > room {
				t.Errorf("%s: room for %d is kept, want at most %d", what, kept, room)
			}
			if !s.Cut() && !s.Spent() {
				lasted[kind]++
			}
		}
	}
	for kind := range endless(secret) {
		if lasted[kind] < 15 {
			t.Errorf("%s: %d lines came to their end, want at least 15: a line that is cut costs nothing", kind, lasted[kind])
		}
	}
}

// What is remembered of the secrets that a line has is bounded too.
func TestALineOfSecretsWithoutAnEndIsForgotten(t *testing.T) {
	const secret = "kU3vTq9LzR5mYb7W"
	s := hidden(secret).NewScrubber()
	s.AcrossParts()
	for i := range 8 * mostWhole {
		s.Next([]byte(secret + " "))
		if n := len(s.own.across.whole); n > mostWhole+int(s.own.matcher.limit) {
			t.Fatalf("after %d secrets: %d are remembered, want at most %d and what may be judged", i, n, mostWhole)
		}
		if n := len(s.join.masks); n > 1+int(s.own.matcher.limit)/len(secret) {
			t.Fatalf("after %d secrets: %d are to be masked, want no more than are held back", i, n)
		}
	}
	if s.Cut() || s.Spent() || s.Hits() != 8*mostWhole {
		t.Errorf("got %d hits, cut %t, spent %t, want all found and the line going on", s.Hits(), s.Cut(), s.Spent())
	}
}

// The first character of a token costs the most where it comes byte by byte, as nothing
// tells yet that none goes on: such a line is long before it is cut, and is not in pieces.
func TestALineOfAFirstCharacter(t *testing.T) {
	secret := randomToken(3)
	text := []byte(strings.Repeat(secret[:1], 200<<10))
	s := hidden(secret).NewScrubber()
	byteByByte(s, text)
	if came := s.join.total; came < 30_000 || s.own.ways.seen > firstSteps+stepsPerByte*int(came)+1<<10 {
		t.Errorf("got %d steps for %d bytes, want no more than stated, and for 30,000 at least", s.own.ways.seen, came)
	}
	s = hidden(secret).NewScrubber()
	for piece := range slices.Chunk(text, 4) {
		s.Next(piece)
	}
	if s.Spent() {
		t.Errorf("in pieces of four: got an end after %d bytes, want none", s.join.total)
	}
}
