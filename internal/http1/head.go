package http1

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

// maxInterim is how many interim answers (RFC 9110, section 15.2) are passed over.
const maxInterim = 8

// head is what the lines before a body say.
type head struct {
	status         int    // of an answer
	reason         string // of an answer: the status line from the code on
	method, target string // of a request
	old            bool   // HTTP/1.0
	header         http.Header
	host, lengths  said // these headers; those of a request are not in header

	length  int64 // -1: not stated
	chunked bool
	close   bool
}

// said is a header that may be said once.
type said struct {
	times int
	value string // the last
}

// readHead reads the head of an answer, past interim ones. The errors hold nothing
// of what was read: it may be what a credential was answered with.
func (in *input) readHead(limit int) (head, error) {
	for range maxInterim {
		text, err := in.head(limit)
		if err != nil {
			return head{}, err
		}
		h, err := in.parseHead(text)
		if err != nil || !h.interim() {
			return h, err
		}
	}
	return head{}, fmt.Errorf("expected an answer, got %d interim ones", maxInterim)
}

// interim reports whether another answer follows. None does after a switch to another
// protocol, which is not asked for here: it is an answer that ends the connection.
func (h *head) interim() bool {
	return 100 <= h.status && h.status < 200 && h.status != http.StatusSwitchingProtocols
}

func (in *input) parseHead(text []byte) (head, error) {
	start, rest := in.lines.begin(text)
	h, err := parseStatus(start)
	if err != nil {
		return head{}, err
	}
	if err = h.read(&in.lines, rest); err != nil {
		return head{}, err
	}
	for _, v := range h.header["Content-Length"] {
		h.lengths.add(v)
	}
	return h, h.frame()
}

// readRequest reads the head of a request.
func (in *input) readRequest(limit int) (head, error) {
	text, err := in.head(limit)
	if err != nil {
		return head{}, err
	}
	start, rest := in.lines.begin(text)
	h, err := parseRequest(start)
	if err != nil {
		return head{}, err
	}
	if err = h.read(&in.lines, rest); err != nil {
		return head{}, err
	}
	if h.host.times > 1 || h.host.times == 0 && !h.old || h.host.times == 1 && !isVisible(h.host.value) {
		return head{}, errors.New("expected one Host header of visible ASCII")
	}
	return h, h.frame()
}

// parseRequest reads "POST /mcp HTTP/1.1" (RFC 9112, section 3), with one space
// between its parts.
func parseRequest(line string) (head, error) {
	h := head{length: -1}
	method, rest, ok := strings.Cut(line, " ")
	target, protocol, more := strings.Cut(rest, " ")
	if !ok || !more || !isToken(method) || target == "" || !isVisible(target) {
		return head{}, errors.New("expected a method, what it is for, and the protocol")
	}
	switch protocol {
	case "HTTP/1.1":
	case "HTTP/1.0":
		h.old = true
	default:
		return head{}, errProtocol
	}
	h.method, h.target = method, target
	return h, nil
}

// read reads lines of names and values.
func (h *head) read(lines *lines, rest []byte) error {
	n := 0
	if len(rest) > 0 {
		n = bytes.Count(rest, []byte("\r\n")) + 1
	}
	apart, most := 0, 0 // of a request: Host, and mostly a length. Few have more than a map's first size then
	if h.method != "" {
		apart, most = 1, 2
	}
	values := make([]string, 0, max(0, n-apart)) // one array for all: most headers have one value
	h.header = make(http.Header, max(0, n-most))
	for i := 0; len(rest) > 0; i++ {
		var line []byte
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		name, value, err := lines.field(i, line)
		if err != nil {
			return err
		}
		if apart := h.apart(name); apart != nil {
			apart.add(value)
			continue
		}
		values = append(values, value)
		one := values[len(values)-1 : len(values) : len(values)]
		h.header[name] = joined(h.header[name], one)
	}
	lines.end(n)
	return nil
}

// apart returns where a request's headers are kept that say where it goes and how
// long it is.
func (h *head) apart(name string) *said {
	switch {
	case h.method == "":
		return nil
	case name == "Host":
		return &h.host
	case name == "Content-Length":
		return &h.lengths
	}
	return nil
}

func (s *said) add(value string) {
	s.times++
	s.value = value
}

// joined returns the values of a header with one more.
func joined(had, one []string) []string {
	if had == nil {
		return one
	}
	return append(had, one...)
}

// parseStatus reads "HTTP/1.1 200 OK" (RFC 9112, section 4).
func parseStatus(line string) (head, error) {
	h := head{length: -1}
	rest, ok := strings.CutPrefix(line, "HTTP/1.1 ")
	if !ok {
		if rest, h.old = strings.CutPrefix(line, "HTTP/1.0 "); !h.old {
			return head{}, errors.New("expected an answer of HTTP/1.1")
		}
	}
	if len(rest) < 3 || len(rest) > 3 && rest[3] != ' ' || !isValue(rest) {
		return head{}, errors.New("expected a status line with a code of three digits")
	}
	for i := range 3 {
		if rest[i] < '0' || rest[i] > '9' {
			return head{}, errors.New("expected a status line with a code of three digits")
		}
		h.status = h.status*10 + int(rest[i]-'0')
	}
	h.reason = rest
	return h, nil
}

// parseLine reads one header. A line that begins with a space goes on from the one
// before for some, and so does a name with a space at its end (RFC 9112, sections
// 5.1 and 5.2): both are no header's name.
func parseLine(line string) (name, value string, err error) {
	name, value, ok := strings.Cut(line, ":")
	if !ok || !isToken(name) {
		return "", "", errors.New("expected a header's name, a colon and its value")
	}
	value = trimmed(value)
	if !isValue(value) {
		return "", "", errors.New("expected a header without control characters")
	}
	return canonical(name), value, nil
}

// trimmed returns value without the white space around it.
func trimmed(value string) string {
	for value != "" && (value[0] == ' ' || value[0] == '\t') {
		value = value[1:]
	}
	for value != "" && (value[len(value)-1] == ' ' || value[len(value)-1] == '\t') {
		value = value[:len(value)-1]
	}
	return value
}

// canonical returns a header's name as maps have it. Those that each call of MCP has
// in another form, and net/textproto does not know, cost no allocation.
func canonical(name string) string {
	switch name {
	case "traceparent":
		return "Traceparent"
	case "MCP-Protocol-Version", "mcp-protocol-version":
		return "Mcp-Protocol-Version"
	case "mcp-session-id":
		return "Mcp-Session-Id"
	case "mcp-method":
		return "Mcp-Method"
	case "mcp-name":
		return "Mcp-Name"
	}
	return textproto.CanonicalMIMEHeaderKey(name)
}

// frame reads how the body is delimited (RFC 9112, section 6.3). An answer that says
// it twice, or in a way that some do not know, ends for others elsewhere.
func (h *head) frame() error {
	coding, length := h.header["Transfer-Encoding"], h.lengths
	switch {
	case len(coding) > 0 && length.times > 0:
		return errors.New("expected Transfer-Encoding or Content-Length, got both")
	case len(coding) > 1, length.times > 1:
		return errors.New("expected Transfer-Encoding or Content-Length once")
	case len(coding) == 1:
		if h.old || !strings.EqualFold(coding[0], "chunked") {
			return errCoding
		}
		h.chunked = true
	case length.times == 1:
		n, ok := decimal(length.value)
		if !ok {
			return errors.New("expected a Content-Length of at most 18 digits")
		}
		h.length = n
	}
	h.close = h.old || h.method == "" && h.status < 200 || closes(h.header["Connection"])
	return nil
}

// closes reports whether the server ends the connection after this answer.
func closes(connection []string) bool {
	for _, v := range connection {
		for option := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.Trim(option, " \t"), "close") {
				return true
			}
		}
	}
	return false
}

func decimal(s string) (int64, bool) {
	if s == "" || len(s) > 18 {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' { // ParseInt takes a sign too
			return 0, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}
