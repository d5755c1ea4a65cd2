package http1

import "errors"

// inOne is the longest body that is written together with its head, and by the
// goroutine that asks: what any system takes at once, so that an answer before the
// end of the request can't leave both sides waiting.
const inOne = 32 << 10

// send writes req: whole, or what of it the system takes at once, with the rest
// written meanwhile.
func (k *conn) send(req *Request, a *answer) error {
	pooled := k.client.writers.Get().(*[]byte)
	b := req.appendHead((*pooled)[:0])
	var rest []byte
	var err error
	if len(req.Body) <= inOne {
		b = append(b, req.Body...)
		_, err = k.net.Write(b)
	} else {
		rest, err = k.sendLong(b, req.Body)
	}
	clear(b) // it holds a credential
	if cap(b) <= 2*inOne {
		*pooled = b[:0]
		k.client.writers.Put(pooled)
	}
	if err == nil && len(rest) > 0 {
		a.writing = make(chan error, 1)
		go func() {
			defer close(a.writing)
			_, err := k.net.Write(rest)
			a.writing <- err
		}()
	}
	return err
}

// sendLong writes a head, and what of the body goes with it without waiting. It
// returns the rest.
func (k *conn) sendLong(head, body []byte) (rest []byte, err error) {
	n := 0
	if k.raw != nil {
		failed := k.raw.Write(func(fd uintptr) bool {
			n, err = gather(fd, head, body)
			return true
		})
		if failed != nil || err != nil {
			return nil, errors.Join(failed, err)
		}
	}
	if n < len(head) {
		_, err = k.net.Write(head[n:])
		n = len(head)
	}
	return body[n-len(head):], err
}

var errEarly = errors.New("the server answered before it had the whole request")

// written returns nil when the whole request has been written. It is asked once.
func (a *answer) written() error {
	if a.writing == nil {
		return nil
	}
	select {
	case err := <-a.writing:
		return err
	default:
		return errEarly
	}
}

// close ends the connection, and with it the writing of the request.
func (a *answer) close() {
	a.conn.close()
	if a.writing != nil {
		<-a.writing //nolint:errcheck // what was cut off with the connection is nobody's error
	}
}
