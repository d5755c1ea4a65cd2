package testenv

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
)

// SeaweedFSEntry is an entry of the audit log of SeaweedFS's S3.
type SeaweedFSEntry struct {
	Bucket    string `json:"bucket"`
	Key       string `json:"key"`
	Operation string `json:"operation"`
	Status    int    `json:"status"`
	ErrorCode string `json:"error_code"`
	// Requester is who asked, by its ARN: of a session, its role and its name.
	Requester string `json:"requester_arn"`
	// Identity is of the JWT that a session began with: its subject, where it names
	// nobody in another claim.
	Identity  string `json:"requester_identity"`
	AccessKey string `json:"access_key_id"`
	// Raw is the whole entry.
	Raw string `json:"-"`
}

// Entry waits until SeaweedFS has logged an entry for which found is true, and
// returns it.
func (s *SeaweedFSServer) Entry(t testing.TB, found func(SeaweedFSEntry) bool) SeaweedFSEntry {
	t.Helper()
	var got SeaweedFSEntry
	err := poll(t.Context(), func(context.Context) error {
		entries := s.audit.entries()
		for _, raw := range entries {
			entry := SeaweedFSEntry{Raw: raw}
			if json.Unmarshal([]byte(raw), &entry) == nil && found(entry) {
				got = entry
				return nil
			}
		}
		return fmt.Errorf("not in the audit log:\n%s", strings.Join(entries, "\n"))
	})
	if err != nil {
		t.Fatalf("read the audit log of seaweedfs: %v", err)
	}
	return got
}

// auditLog is what SeaweedFS sends its audit log to: a listener of Fluentd's forward
// protocol, in JSON.
type auditLog struct {
	mu    sync.Mutex
	lines []string
}

func newAuditLog(t testing.TB, socket string) *auditLog {
	t.Helper()
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatalf("listen for an audit log: %v", err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	log := &auditLog{}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed
			}
			go log.read(conn)
		}
	}()
	return log
}

// read keeps the records of the messages [TAG, TIME, RECORD, …] until the server ends.
func (l *auditLog) read(conn net.Conn) {
	defer conn.Close()
	for messages := json.NewDecoder(conn); ; {
		var message []json.RawMessage
		if err := messages.Decode(&message); err != nil || len(message) < 3 {
			return
		}
		l.mu.Lock()
		l.lines = append(l.lines, string(message[2]))
		l.mu.Unlock()
	}
}

func (l *auditLog) entries() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.lines...)
}
