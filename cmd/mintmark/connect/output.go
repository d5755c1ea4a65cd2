package connect

import (
	"fmt"
	"io"
	"sync"
)

// output writes whole lines, one at a time, for many writers.
type output struct {
	mu     sync.Mutex
	w      io.Writer
	failed func(error) // hears of each line that could not be written
}

// line writes one message, which has no newline in it.
func (o *output) line(message []byte) {
	text := make([]byte, 0, len(message)+1)
	text = append(append(text, message...), '\n')
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, err := o.w.Write(text); err != nil {
		o.failed(fmt.Errorf("write to the client: %w", err))
	}
}

// refuse answers the request of that id, or none in particular, with err.
func (o *output) refuse(id []byte, err error) { o.line(refusalOf(err).message(id)) }
