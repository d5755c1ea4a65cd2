package providers

import (
	"fmt"
	"io"
)

const redacted = "[redacted]"

// Secret is a value that redacts itself: no verb, encoder or logger shows it.
// It hides behind a closure because reflection-based printers reach through
// struct fields, pointers and maps, and none of them can look inside a func.
type Secret struct{ reveal func() string }

// NewSecret hides value.
func NewSecret(value string) Secret { return Secret{reveal: func() string { return value }} }

// Format writes the redaction, whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText returns the redaction, so that no encoder shows the value.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// IsZero reports whether s hides nothing.
func (s Secret) IsZero() bool { return s.reveal == nil }
