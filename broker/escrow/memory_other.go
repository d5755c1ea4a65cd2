//go:build !linux

package escrow

import (
	"fmt"
	"os"
)

// inMemory returns an error: what is known of file systems here is of Linux.
func inMemory(f *os.File) error {
	return fmt.Errorf("%w, got %s, of which that is known on Linux only", ErrNoMemory, f.Name())
}
