package http1

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// check refuses a request that would be read as another one: nothing in it may end
// a line, and what delimits the body is written here alone.
func (r *Request) check() error {
	if !isToken(r.Method) || r.Method == http.MethodConnect {
		return fmt.Errorf("write a request: expected a method, got %.20q", r.Method)
	}
	if r.Target == "" || r.Target[0] != '/' || !isVisible(r.Target) {
		return errors.New("write a request: expected a target of visible ASCII that begins with a slash")
	}
	if r.Host == "" || !isVisible(r.Host) {
		return errors.New("write a request: expected a host of visible ASCII")
	}
	for name, values := range r.Header {
		if !isToken(name) || isOurs(name) {
			return fmt.Errorf("write a request: expected a header that a call may have, got %.40q", name)
		}
		for _, v := range values {
			if !isValue(v) {
				return fmt.Errorf("write a request: expected header %s without control characters", name)
			}
		}
	}
	return nil
}

// isOurs reports whether a header says how a message is delimited or concerns the
// connection alone.
func isOurs(name string) bool {
	for _, ours := range [...]string{"Host", "Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Upgrade", "Expect"} {
		if len(name) == len(ours) && strings.EqualFold(name, ours) {
			return true
		}
	}
	return false
}

func (r *Request) appendHead(b []byte) []byte {
	b = append(b, r.Method...)
	b = append(b, ' ')
	b = append(b, r.Target...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, r.Host...)
	b = append(b, "\r\n"...)
	if r.Header["Accept-Encoding"] == nil { // by which any would be acceptable (RFC 9110, section 12.5.3)
		b = append(b, "Accept-Encoding: identity\r\n"...)
	}
	for name, values := range r.Header {
		for _, v := range values {
			b = append(b, name...)
			b = append(b, ": "...)
			b = append(b, v...)
			b = append(b, "\r\n"...)
		}
	}
	if len(r.Body) > 0 || r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodDelete {
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, int64(len(r.Body)), 10)
		b = append(b, "\r\n"...)
	}
	return append(b, "\r\n"...)
}

// isToken reports whether s is a token (RFC 9110, section 5.6.2).
func isToken(s string) bool {
	for i := range len(s) {
		if !tokenByte(s[i]) {
			return false
		}
	}
	return s != ""
}

func tokenByte(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	switch c {
	case '!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~':
		return true
	}
	return false
}

func isVisible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// isValue reports whether s has none of the characters that end a header's line or
// that servers read differently (RFC 9110, section 5.5).
func isValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
