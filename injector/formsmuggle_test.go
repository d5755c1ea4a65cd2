package injector

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// Servers find fields where Go's own reader sees none.
func TestFormAuthorityWhereReadersDiffer(t *testing.T) {
	const form, token = "multipart/form-data; boundary=b", "Content-Disposition: form-data; name=\"access_token\"\r\n\r\nstolen\r\n"
	for name, c := range map[string]struct{ kind, body string }{
		"the boundary calls the parts a query":          {"multipart/form-data; boundary=urlencoded", "--urlencoded\r\n" + token + "--urlencoded--\r\n"},
		"a parameter that cannot be read":               {form, "--b\r\nContent-Disposition: form-data; name=\"access_token\"; x\r\n\r\nstolen\r\n--b--\r\n"},
		"two names":                                     {form, "--b\r\nContent-Disposition: form-data; name=\"access_token\"; name=\"x\"\r\n\r\nstolen\r\n--b--\r\n"},
		"two dispositions":                              {form, "--b\r\nContent-Disposition: form-data; name=\"x\"\r\n" + token + "--b--\r\n"},
		"a name in two forms":                           {form, "--b\r\nContent-Disposition: form-data; name=\"access_token\"; name*=utf-8''x\r\n\r\nstolen\r\n--b--\r\n"},
		"a name in quotes that only some know":          {form, "--b\r\nContent-Disposition: form-data; name='access_token'\r\n\r\nstolen\r\n--b--\r\n"},
		"an escaped name":                               {form, "--b\r\nContent-Disposition: form-data; name=\"access%5ftoken\"\r\n\r\nstolen\r\n--b--\r\n"},
		"no blank after the colon, and another folding": {form, "--b\r\nContent-Disposition: form-data;\r\n name=\"access_token\"; x\r\n\r\nstolen\r\n--b--\r\n"},
		"after the end":                                 {form, "--b\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n1\r\n--b--\r\n--b\r\n" + token + "--b--\r\n"},
		"before the beginning":                          {form, "--c\r\n" + token + "--b\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n1\r\n--b--\r\n"},
		"a boundary in two forms":                       {"multipart/form-data; boundary=b; boundary*=utf-8''c", "--b\r\n" + token + "--b--\r\n--c\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n1\r\n--c--\r\n"},
		"a boundary within another parameter":           {"multipart/form-data; x=\"boundary=c\"; boundary=b", "--c\"\r\n" + token + "--c\"--\r\n--b\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n1\r\n--b--\r\n"},
		"lines that end otherwise":                      {form, "--b\nContent-Disposition: form-data; name=\"x\"\n\n1\n--b--\n--b\r\n" + token + "--b--\r\n"},
		"parts of another kind":                         {"multipart/mixed; boundary=b", "--b\r\n" + token + "--b--\r\n"},
		"parts in another charset":                      {"multipart/form-data; boundary=b; charset=utf-7", "--b\r\nContent-Disposition: form-data; name=\"+AGE-ccess_token\"\r\n\r\nstolen\r\n--b--\r\n"},
		"a form in another charset":                     {"application/x-www-form-urlencoded; charset=ibm037", "%81%83%83%85%A2%A2%6D%A3%96%92%85%95=%A2"},
		"a form in UTF-16":                              {"application/x-www-form-urlencoded; charset=utf-16le", "a\x00c\x00c\x00e\x00s\x00s\x00_\x00t\x00o\x00k\x00e\x00n\x00=\x00x\x00"},
		"a form after a byte order mark":                {"application/x-www-form-urlencoded", "\ufeffaccess_token=stolen"},
		"a form with an escape of its own":              {"application/x-www-form-urlencoded", "%u0061ccess_token=stolen"},
		"a form with an escape that is none":            {"application/x-www-form-urlencoded", "access%5ftoken%00%zz=stolen"},
		"a form that says nothing of itself":            {"", "access_token=stolen"},
		"a form whose type cannot be read":              {"application/x-www-form-urlencoded;=", "access_token=stolen"},
		"a form of an empty type":                       {" ", "access_token=stolen"},
	} {
		t.Run(name, func(t *testing.T) {
			h := http.Header{}
			if c.kind != "" {
				h.Set("Content-Type", c.kind)
			}
			if field, err := FormAuthority(h, []byte(c.body)); field == "" && err == nil {
				t.Error("got it passed, want it refused")
			}
		})
	}
}

// What clients send is read.
func TestFormAuthorityReadsWhatClientsSend(t *testing.T) {
	for name, c := range map[string]struct{ kind, body string }{
		"a browser":       {"multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW", "------WebKitFormBoundary7MA4YWxkTrZu0gW\r\nContent-Disposition: form-data; name=\"file\"; filename=\"my name; token=7.txt\"\r\nContent-Type: text/plain\r\n\r\naccess_token=1\r\n------WebKitFormBoundary7MA4YWxkTrZu0gW--\r\n"},
		"curl":            {"multipart/form-data; boundary=------------------------d74496d66958873e", "--------------------------d74496d66958873e\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--------------------------d74496d66958873e--\r\n"},
		".NET":            {"multipart/form-data; boundary=\"7b2c-11\"", "--7b2c-11\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Disposition: form-data; name=file; filename=a.txt; filename*=utf-8''a.txt\r\n\r\n1\r\n--7b2c-11--\r\n"},
		"Python":          {"multipart/form-data; boundary=0f5ee", "--0f5ee\r\nContent-Disposition: form-data; name=\"f\"; filename*=utf-8''%C3%A4.txt\r\n\r\n1\r\n--0f5ee--\r\n"},
		"an empty form":   {"multipart/form-data; boundary=b", "--b--\r\n"},
		"no line after":   {"multipart/form-data; boundary=b; charset=UTF-8", "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--b--"},
		"a related":       {"multipart/related; boundary=b; type=\"application/json\"", "--b\r\nContent-Type: application/json\r\n\r\n{}\r\n--b\r\nContent-Type: image/png\r\n\r\n\x89PNG\r\n--b--"},
		"a query":         {"application/x-www-form-urlencoded;charset=UTF-8", "a=1&page_token=2&percent=100%"},
		"nothing at all":  {"", ""},
		"no form":         {"application/octet-stream", "access_token=1"},
		"JSON, unsaid":    {"", `{"a":"b=c&d"}`},
		"a batch of them": {"multipart/mixed; boundary=batch_1", "--batch_1\r\nContent-Type: application/http\r\n\r\nGET /a HTTP/1.1\r\n\r\n\r\n--batch_1--\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			h := http.Header{}
			if c.kind != "" {
				h.Set("Content-Type", c.kind)
			}
			if field, err := FormAuthority(h, []byte(c.body)); field != "" || err != nil {
				t.Errorf("got field %q, %v, want it passed", field, err)
			}
		})
	}
}

// Servers that read JSON and queries into protocol buffers take two names for one.
func TestTheSchemesOwnNameInCamelCase(t *testing.T) {
	b, err := NewBody("api_key", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Admit(http.Header{"Content-Type": {"application/json"}}, []byte(`{"apiKey":"stolen"}`)); err == nil {
		t.Error("body: got it admitted, want it refused")
	}
	q, err := NewQuery("orders_code", "")
	if err != nil {
		t.Fatal(err)
	}
	if query, _, _ := StripQuery("ordersCode=stolen&orders=1", q); query != "orders=1" {
		t.Errorf("query: got %q, want orders=1", query)
	}
}

// What an agent sends is looked at in bounded time and memory.
func TestABodyOfVeryManyNames(t *testing.T) {
	many := strings.Repeat("a&", 1<<16)
	if _, err := FormAuthority(http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, []byte(many)); err == nil {
		t.Error("form: got it passed, want it refused")
	}
	parts := "--b" + strings.Repeat("\r\n\r\n\r\n--b", 1<<16+1) + "--"
	if _, err := FormAuthority(http.Header{"Content-Type": {"multipart/form-data; boundary=b"}}, []byte(parts)); err == nil {
		t.Error("parts: got them passed, want them refused")
	}
	b, err := NewBody("api_key", "")
	if err != nil {
		t.Fatal(err)
	}
	var object strings.Builder
	object.WriteString(`{"x":{"y":0`)
	for i := range 1 << 16 {
		_, _ = fmt.Fprintf(&object, `,"%x":0`, i)
	}
	object.WriteString("}}")
	if err := b.Admit(http.Header{"Content-Type": {"application/json"}}, []byte(object.String())); err == nil {
		t.Error("object: got it admitted, want it refused")
	}
}
