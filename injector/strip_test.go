package injector

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestStrip(t *testing.T) {
	in := http.Header{
		"Authorization": {"Bearer agent", "Basic two"}, "Proxy-Authorization": {"x"}, "Cookie": {"a=b"}, "X-Api-Key": {"k"},
		"X-Auth-Token": {"t"}, "X-Amz-Security-Token": {"t"}, "Private-Token": {"t"}, "X-Forwarded-User": {"root"}, "X-Forwarded-For": {"1.2.3.4"},
		"Dpop": {"p"}, "Connection": {"keep-alive, traceparent"}, "Traceparent": {"00-1"}, "Te": {"trailers"}, "Upgrade": {"h2c"}, "Forwarded": {"for=x"},
		"Content-Type": {"application/json"}, "Accept": {"application/json"}, "Accept-Encoding": {"gzip"}, "Mcp-Method": {"tools/call"},
		"Mcp-Session-Id": {"handle"}, "Mcp-Param-Region": {"x"}, "Mcp-Param-Authorization": {"x"}, "X-Anything": {"x"}, "Host": {"evil"}, "Content-Length": {"9"}, "Transfer-Encoding": {"chunked"},
		"Range": {"bytes=0-1"}, "X-Custom": {"mine"},
	}
	scheme, err := NewHeader("x-custom", "")
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name     string
		plain    bool
		scheme   Scheme
		passes   []string
		stripped []string
	}{
		{"mcp", false, Bearer{}, []string{"Accept", "Content-Type", "Mcp-Method", "Mcp-Param-Region"},
			[]string{"Authorization", "Cookie", "Dpop", "Forwarded", "Mcp-Param-Authorization", "Private-Token", "Proxy-Authorization", "X-Amz-Security-Token", "X-Api-Key", "X-Auth-Token", "X-Forwarded-For", "X-Forwarded-User"}},
		{"plain, no credential", true, nil, []string{"Accept", "Content-Type", "Range"},
			[]string{"Authorization", "Cookie", "Dpop", "Forwarded", "Mcp-Param-Authorization", "Private-Token", "Proxy-Authorization", "X-Amz-Security-Token", "X-Api-Key", "X-Auth-Token", "X-Forwarded-For", "X-Forwarded-User"}},
		{"the scheme's own header", false, scheme, []string{"Accept", "Content-Type", "Mcp-Method", "Mcp-Param-Region"},
			[]string{"Authorization", "Cookie", "Dpop", "Forwarded", "Mcp-Param-Authorization", "Private-Token", "Proxy-Authorization", "X-Amz-Security-Token", "X-Api-Key", "X-Auth-Token", "X-Custom", "X-Forwarded-For", "X-Forwarded-User"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			out, stripped := Strip(in, c.plain, c.scheme)
			var got []string
			for name := range out {
				got = append(got, name)
			}
			slices.Sort(got)
			if !slices.Equal(got, c.passes) {
				t.Errorf("passes: got %q, want %q", got, c.passes)
			}
			if !slices.Equal(stripped, c.stripped) {
				t.Errorf("stripped: got %q, want %q", stripped, c.stripped)
			}
		})
	}
}

func TestStripRange(t *testing.T) {
	h := http.Header{"Range": {"bytes=0-1"}, "If-Range": {`"1"`}, "Accept": {"a/b"}}
	if StripRange(h); len(h) != 1 || h["Accept"] == nil {
		t.Errorf("got %v, want Accept alone", h)
	}
}

func TestStripQuery(t *testing.T) {
	cases := []struct {
		raw, want string
		stripped  []string
		ok        bool
	}{
		{"", "", nil, true},
		{"a=1&b=%20&c", "a=1&b=%20&c", nil, true},
		{"access_token=x&a=1", "a=1", []string{"access_token"}, true},
		{"a=1&%61ccess_token=x", "a=1", []string{"access_token"}, true},
		{"X-Amz-Signature=x&X-Amz-Credential=y&list-type=2", "list-type=2", []string{"X-Amz-Credential", "X-Amz-Signature"}, true},
		{"API_KEY=x", "", []string{"API_KEY"}, true},
		{"page_token=p&continuation-token=c&code=4&expires=9&sort_key=k", "page_token=p&continuation-token=c&code=4&expires=9&sort_key=k", nil, true},
		{".method=DELETE&+_method=PUT&%20_method=PUT&_method[]=PUT&_method%00x=PUT&api.key=k&a.b=1", "a.b=1",
			[]string{" _method", " _method", ".method", "_method\x00x", "_method[]", "api.key"}, true},
		{"a=1 HTTP/1.0", "", nil, false},
		{"a=1#b", "", nil, false},
		{"a=\u00e9", "", nil, false},
		{"a=1;access_token=x", "", nil, false},
		{"a=%zz", "", nil, false},
		{"%zz=1", "", nil, false},
	}
	for _, c := range cases {
		got, stripped, ok := StripQuery(c.raw, nil)
		if got != c.want || ok != c.ok || !slices.Equal(stripped, c.stripped) {
			t.Errorf("%q: got %q %q %t, want %q %q %t", c.raw, got, stripped, ok, c.want, c.stripped, c.ok)
		}
	}
}

func part(disposition string) string {
	return "--x\r\nContent-Disposition: form-data; " + disposition + "\r\n\r\nDELETE\r\n--x--\r\n"
}

// What is done for each header does not grow with what Connection names.
func TestConnectionNamesCountOnce(t *testing.T) {
	in := http.Header{"Connection": {strings.Repeat("mcp-param-a, ", 1000) + "traceparent", "accept"}, "Mcp-Param-A": {"1"}, "Mcp-Param-B": {"2"}, "Traceparent": {"00-1"}, "Accept": {"*/*"}}
	if named := connectionNamed(in); len(named) != 3 {
		t.Errorf("got %d names looked through, want 3", len(named))
	}
	if out, _ := Strip(in, false, nil); len(out) != 1 || out.Get("Mcp-Param-B") != "2" {
		t.Errorf("got %v, want the one header that Connection does not name", out)
	}
}

// What a body is said to be is judged, and so it is sent: without a type some servers
// take it for a form.
func TestTheTypeOfABodyIsNoConnectionsAffair(t *testing.T) {
	in := http.Header{"Connection": {"close, content-type"}, "Content-Type": {"application/json"}}
	for _, plain := range []bool{true, false} {
		if out, _ := Strip(in, plain, nil); out.Get("Content-Type") != "application/json" {
			t.Errorf("plain %t: got %v, want the type that was judged", plain, out)
		}
	}
}

// A server may take the first of several types or the last, and a body without
// one for a form.
func TestOverridesOfSeveralTypes(t *testing.T) {
	form, whole := []byte("a=1&_method=DELETE"), []byte(`{"_method":"DELETE"}`)
	for _, h := range []http.Header{{}, {"Content-Type": {"application/json", "application/x-www-form-urlencoded"}}} {
		if !Overrides(h, form) || !Overrides(h, whole) || !Overrides(h, []byte(part(`name="_method"`))) || Overrides(h, []byte("a=_method")) {
			t.Errorf("%v: got one that passes, or an innocent one refused", h)
		}
	}
}

// A byte order mark before a body is none of it to many servers.
func TestOverridesAfterAByteOrderMark(t *testing.T) {
	for kind, body := range map[string]string{"application/x-www-form-urlencoded": "_method=DELETE", "application/json": `{"_method":"DELETE"}`} {
		if !Overrides(http.Header{"Content-Type": {kind}}, []byte("\ufeff"+body)) {
			t.Errorf("%s: got it passed, want it refused", kind)
		}
	}
}

// No header that names another method reaches a server.
func TestNoHeaderNamesAnotherMethod(t *testing.T) {
	in := http.Header{"X-Http-Method-Override": {"DELETE"}, "X-Http-Method": {"DELETE"}, "X-Method-Override": {"DELETE"}, "X_http_method_override": {"DELETE"}}
	if out, _ := Strip(in, true, nil); len(out) > 0 {
		t.Errorf("got %v, want none", out)
	}
}

// FuzzOverrides holds that nothing an agent sends makes the reading panic, and
// that a name in a form is found whatever stands around it.
func FuzzOverrides(f *testing.F) {
	f.Add("application/x-www-form-urlencoded", []byte("a=1&%5Fmethod=x"))
	f.Add("multipart/form-data; boundary=x", []byte(part(`name*=utf-8''a`)))
	f.Add("application/json", []byte(`{"a":{}}`))
	f.Fuzz(func(t *testing.T, kind string, body []byte) {
		Overrides(http.Header{"Content-Type": {kind}}, body)
		if !formOverrides(append(append([]byte{}, body...), "&_method=DELETE"...)) || !partOverrides(append(append([]byte{}, body...), ";name=_method"...)) {
			t.Errorf("after %q the name is not found", body)
		}
	})
}

// However many names a body has, each byte of it is looked at a few times, and
// nothing is copied.
func TestNamesCostTheirLength(t *testing.T) {
	for _, shape := range []string{
		"name=", "name*=", `name="`, "name='", "name*=''", "name=_metho", `name=\`, "name= ", "name\r\n", "name=%20", "name=\u00a0", "name=_method-",
		"&", "&_metho", "&_method+", "&+", "&%5fmetho", "%zz", "'", "\xff", "n", part(`name="a"`),
	} {
		// An extended name before them, so that each quote counts too.
		body := []byte("name*=" + strings.Repeat(shape, (64<<10)/len(shape)) + "x")
		steps := 0
		for i := range body {
			for _, s := range []*spelled{{text: body[i:]}, {text: body[i:], part: true}} {
				if begins := i > 0 && strings.IndexByte("&;='\"", body[i-1]) >= 0; begins && !s.isMethod() {
					steps += s.at
				}
			}
		}
		if steps > 8*len(body) {
			t.Errorf("%q: got %d characters read in %d bytes, want at most 8 times as many", shape, steps, len(body))
		}
		copied := testing.AllocsPerRun(1, func() {
			if partOverrides(body) || formOverrides(body) {
				t.Errorf("%q: got a method named, want none", shape)
			}
		})
		if copied > 0 {
			t.Errorf("%q: got %v allocations, want none", shape, copied)
		}
	}
}

func TestOverrides(t *testing.T) {
	const form, many = "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"
	for _, c := range []struct {
		kind, body string
		want       bool
	}{
		{form, "a=1&_method=DELETE", true},
		{form, "%5Fmethod=DELETE", true},
		{form, "a=1;_METHOD=put", true},
		{form, ".method=DELETE", true},
		{form, "shipping_method=air&_methods=2", false},
		{"", "_method=DELETE", true},
		{"text/plain", "_method=DELETE", true},
		{many, "--x\r\nContent-Disposition: form-data; name=\"_method\"\r\n\r\nDELETE\r\n--x--", true},
		{many, "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--x--", false},
		{"application/json", `{"a":{"_method":"x"},"_method":"DELETE"}`, true},
		{"application/json; charset=utf-8", `{"\u005fmethod":"DELETE"}`, true},
		{"application/json", `{"shipping_method":"air","a":{"_method":"x"}}`, false},
		{"application/json", `[{"_method":"x"}]`, false},
		{form, "", false},
		{form, "%5Fmethod%00%zz=DELETE", true}, // as PHP reads it
		{form, "+_method[]=DELETE", true},
		{many, part(`name=_method`), true},
		{many, part(`NAME = ".method"`), true},
		{many, part(`name=" _method[a]"`), true},
		{many, part(`name="\_met\hod"`), true},
		{many, part(`name*=utf-8''%5Fmethod`), true},
		{many, part(`name*0="_met"; name*1="hod"`), true},
		{many, part(`name="a"`) + "no method; other. method of _method in a file", false},
		{many, part(`name="shipping_method"; filename="a.method"`), false},
		{form, strings.Repeat("+", 2000) + "_method=DELETE", true}, // PHP leaves spaces out, however many
		{form, "_method[" + strings.Repeat("x", 2000) + "]=DELETE", true},
		{form, "_method+a=1&_method+=2", false},
		{many, part(`name="` + strings.Repeat(" ", 2000) + `_method"`), true},
		{many, part(`name="_method`), true},                  // without its other quote
		{many, part(`name=_method filename="a"`), true},      // PHP ends it at the blank
		{many, part("name*=utf-8'\r\n 'name'_method"), true}, // a header in two lines
		{many, part(`name*="utf-8'a;'_method"`), true},
		{many, part("name=\"\u00a0_method\u2003\""), true},
		{many, part(`name="_methodical"`) + part(`name="a_method"`), false},
		{many, part(`name*=utf-8''a`) + "as in '_method'", false},
		{"multipart/related; boundary=x", part(`name="_method"`), true},
		{"multipart/form-data; boundary=x; boundary", part(`name="_method"`), true}, // a type that can't be read
		{form + "; charset=utf-16le", "_\x00m\x00e\x00t\x00h\x00o\x00d\x00=\x00D\x00", true},
		{"application/json", "\ufeff" + `{"_method":"DELETE"}`, true},
	} {
		if got := Overrides(http.Header{"Content-Type": {c.kind}}, []byte(c.body)); got != c.want {
			t.Errorf("%s %.200q: got %t, want %t", c.kind, c.body, got, c.want)
		}
	}
}
