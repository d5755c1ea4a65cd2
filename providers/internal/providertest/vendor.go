package providertest

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Sent is a request in parts, each by its name: "method", "host", "path", "query NAME",
// "header NAME", "form NAME", "json PATH" or "body".
type Sent map[string]string

// Capture is a TLS server that keeps what is sent to it.
type Capture struct {
	URL         string
	Address     string // its host and port
	Certificate string // a PEM file of the only root that vouches for it

	mu   sync.Mutex
	sent []Sent
}

// NewCapture starts one that answers as the handler does.
func NewCapture(t testing.TB, answers http.Handler) *Capture {
	t.Helper()
	c := &Capture{}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("capture: %v", err)
		}
		c.mu.Lock()
		c.sent = append(c.sent, parts(t, r, body))
		c.mu.Unlock()
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		answers.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	c.URL, c.Address = server.URL, server.Listener.Addr().String()
	c.Certificate = filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(c.Certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return c
}

// Take returns what was sent since the last Take, and demands that it is n requests.
func (c *Capture) Take(t testing.TB, n int) []Sent {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	taken := c.sent
	c.sent = nil
	if len(taken) != n {
		for _, s := range taken {
			t.Logf("capture: %s %s", s["method"], s["path"])
		}
		t.Fatalf("capture: got %d requests, want %d", len(taken), n)
	}
	return taken
}

func parts(t testing.TB, r *http.Request, body []byte) Sent {
	s := Sent{"method": r.Method, "host": r.Host, "path": r.URL.EscapedPath()}
	s.values("query ", r.URL.Query())
	s.values("header ", url.Values(r.Header))
	kind, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err == nil {
		s["header Content-Type"] = kind
	}
	for name, value := range parameters {
		s["header Content-Type; "+name] = value
	}
	switch {
	case len(body) == 0:
	case kind == "application/x-www-form-urlencoded":
		form, err := url.ParseQuery(string(body))
		if err != nil {
			t.Errorf("capture: %v", err)
		}
		s.values("form ", form)
	case kind == "application/json":
		var value any
		if err := json.Unmarshal(body, &value); err != nil {
			t.Errorf("capture: %v", err)
		}
		s.JSON("json ", value)
	default:
		s["body"] = string(body)
	}
	return s
}

func (s Sent) values(place string, all url.Values) {
	for name, values := range all {
		s[place+name] = values[0]
		for i, more := range values[1:] {
			s[fmt.Sprintf("%s%s, %d more", place, name, i+1)] = more
		}
	}
}

// JSON adds the parts of a value, each by its path.
func (s Sent) JSON(path string, value any) {
	switch value := value.(type) {
	case map[string]any:
		s[path+"{}"] = "" // so that an empty one is a part too
		for name, member := range value {
			s.JSON(path+"."+name, member)
		}
	case []any:
		s[path+"[]"] = strconv.Itoa(len(value))
		for i, member := range value {
			s.JSON(path+"["+strconv.Itoa(i)+"]", member)
		}
	default:
		text, _ := json.Marshal(value) // came from JSON
		s[path] = string(text)
	}
}

// At puts the request where a provider would send it that is told no other address.
func (s Sent) At(t testing.TB, address string) Sent {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" {
		t.Fatalf("got address %q (%v), want an https one", address, err)
	}
	s["host"], s["path"] = u.Host, u.EscapedPath()
	return s
}

// transport are the headers that two HTTP libraries may write in ways of their own,
// whatever is asked for.
func transport() map[string]string {
	return map[string]string{
		"header Accept-Encoding": "what the library can decode",
		"header Accept-Language": "Node's fetch takes any",
		"header Connection":      "Node's says that it keeps alive what HTTP/1.1 keeps alive",
		"header Content-Length":  "of a body that is compared",
		"header Sec-Fetch-Mode":  "Node's fetch says that it is no browser's page",
		"header User-Agent":      "each says who it is",
	}
}

// Same demands that ours and theirs are the same in every part but those that differ,
// each of which is there with the reason, and does differ.
func Same(t testing.TB, ours, theirs Sent, differ map[string]string) {
	t.Helper()
	named, library := map[string]bool{}, transport()
	for _, s := range []Sent{ours, theirs, differ} {
		for name := range s {
			named[name] = library[name] == ""
		}
	}
	for name, compared := range named {
		our, sent := ours[name]
		their, wanted := theirs[name]
		same := sent == wanted && our == their
		switch _, may := differ[name]; {
		case same && may:
			t.Errorf("%s: got the same, %q, want it to differ, or no reason for it", name, our)
		case compared && !same && !may:
			t.Errorf("%s: got %q (sent %t), the vendor's own client has %q (sent %t)", name, our, sent, their, wanted)
		}
	}
}
