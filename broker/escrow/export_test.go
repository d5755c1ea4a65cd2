package escrow

import "strconv"

// Fill has e believe that it keeps n values.
func (e *Escrow) Fill(n int) {
	for i := range n {
		e.kept[strconv.Itoa(i)] = true
	}
}

// Kill lets go of what the end of a process does.
func (e *Escrow) Kill() { _ = e.lock.Close() }
