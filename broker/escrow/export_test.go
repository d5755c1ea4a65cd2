package escrow

import "strconv"

// Fill has e believe that it keeps n values.
func (e *Escrow) Fill(n int) {
	for i := range n {
		e.kept[strconv.Itoa(i)] = true
	}
}
