package broker

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"
)

// pair is a certificate and its key in files. It is read again when the
// certificate's file changed, so that a rotated one needs no restart; a pair
// that can't be read leaves the old one in use.
type pair struct {
	cert, key string

	mu      sync.Mutex
	read    time.Time // modification time of the file in use
	checked time.Time
	current *tls.Certificate
}

func openPair(cert, key string) (*pair, error) {
	p := &pair{cert: cert, key: key}
	return p, p.load()
}

// get is a tls.Config.GetCertificate. It looks at the files once a second at
// most.
func (p *pair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); now.Sub(p.checked) >= time.Second {
		p.checked = now
		_ = p.load() // a half-written pair is read again in a second
	}
	return p.current, nil
}

func (p *pair) load() error {
	info, err := os.Stat(p.cert)
	if err != nil {
		return p.unread(err)
	}
	if p.current != nil && info.ModTime().Equal(p.read) {
		return nil
	}
	loaded, err := tls.LoadX509KeyPair(p.cert, p.key)
	if err != nil {
		return p.unread(err)
	}
	p.current, p.read = &loaded, info.ModTime()
	return nil
}

func (p *pair) unread(err error) error {
	return fmt.Errorf("read the listener's certificate: expected a certificate in %s and its key in %s, PEM files that the broker's user may read: %w: put them there, or name others as cert and key", p.cert, p.key, err)
}
