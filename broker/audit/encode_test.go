package audit_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"mintmark/broker/audit"
)

// encoded is rec as a line of the log holds it, but for its place.
func encoded(rec *audit.Record) []byte {
	return audit.AppendBody([]byte("{"), rec)
}

// bounded is rec as it should read back, by the slow way.
func bounded(t testing.TB, rec audit.Record) audit.Record {
	t.Helper()
	v := reflect.ValueOf(&rec).Elem()
	for i := range v.NumField() {
		switch field := v.Field(i); field.Interface().(type) {
		case string, audit.Kind:
			field.SetString(boundedString(field.String()))
		case []string:
			field.Set(reflect.ValueOf(boundedList(field.Interface().([]string))))
		case []audit.PostureFact:
			var facts []audit.PostureFact
			for _, f := range rec.Posture {
				facts = append(facts, audit.PostureFact{Name: boundedString(f.Name), Value: boundedString(f.Value), AgeS: f.AgeS, Issuer: boundedString(f.Issuer)})
			}
			if extra := len(facts) - audit.MaxList; extra > 0 {
				facts = append(facts[:audit.MaxList], audit.PostureFact{Name: fmt.Sprintf("…[truncated %d entries]", extra)})
			}
			rec.Posture = facts
		}
	}
	rec.NotAfter, rec.SystemEnd = rec.NotAfter.UTC(), rec.SystemEnd.UTC()
	return rec
}

func boundedString(s string) string {
	if len(s) > audit.MaxField {
		n := audit.MaxField
		for back := 0; back < utf8.UTFMax && !utf8.RuneStart(s[n]); back++ {
			n--
		}
		s = s[:n] + fmt.Sprintf("…[truncated %d bytes, sha256 %x]", len(s)-n, sha256.Sum256([]byte(s)))
	}
	var b strings.Builder
	for _, r := range s { // invalid bytes one by one, as encoding/json does
		b.WriteRune(r)
	}
	return b.String()
}

func boundedList(list []string) []string {
	var out []string
	for i, s := range list {
		if i == audit.MaxList {
			return append(out, fmt.Sprintf("…[truncated %d entries]", len(list)-i))
		}
		out = append(out, boundedString(s))
	}
	return out
}

// checkEncoding checks that the hand-written encoder and encoding/json agree.
func checkEncoding(t testing.TB, rec audit.Record) {
	t.Helper()
	rec.Seq, rec.Time = 0, time.Time{}
	line := encoded(&rec)
	if !json.Valid(line) || !utf8.Valid(line) || bytes.ContainsAny(line, "\n\r\x00\x1b\x7f\u0085\u2028\u202e") {
		t.Fatalf("got a line that is not clean JSON: %q", line)
	}
	want := bounded(t, rec)
	var got audit.Record
	if err := json.Unmarshal(line, &got); err != nil {
		t.Fatalf("got %v for %q", err, line)
	}
	reference, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var back audit.Record
	if err := json.Unmarshal(reference, &back); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, back) {
		t.Fatalf("got  %+v\nwant %+v", got, back)
	}
	checkMemberOrder(t, line, reference)
}

// checkMemberOrder checks that line has the members of encoding/json's
// reference, in its order, after "seq" and "time".
func checkMemberOrder(t testing.TB, line, reference []byte) {
	t.Helper()
	got, want := memberNames(t, line), memberNames(t, reference)[2:]
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got members %v, want %v", got, want)
	}
}

func memberNames(t testing.TB, object []byte) []string {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(object))
	if _, err := d.Token(); err != nil {
		t.Fatal(err)
	}
	var names []string
	for d.More() {
		name, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, name.(string))
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			t.Fatal(err)
		}
	}
	return names
}

// fillRecord sets every field of a Record, so that one that the encoder does
// not know fails the test.
func fillRecord(t testing.TB, s string, n int64) audit.Record {
	t.Helper()
	var rec audit.Record
	v := reflect.ValueOf(&rec).Elem()
	for i := range v.NumField() {
		switch field := v.Field(i); field.Interface().(type) {
		case string, audit.Kind:
			field.SetString(s)
		case int, int64, time.Duration:
			field.SetInt(n)
		case uint64:
			field.SetUint(uint64(n))
		case bool:
			field.SetBool(n%2 != 0)
		case []string:
			field.Set(reflect.ValueOf([]string{s, "", s}))
		case []audit.PostureFact:
			field.Set(reflect.ValueOf([]audit.PostureFact{{Name: s, Value: s, AgeS: n, Issuer: s}, {}}))
		case time.Time:
			field.Set(reflect.ValueOf(time.Unix(n%1e11, 5)))
		default:
			t.Fatalf("field %s: teach the encoder and this test about %s", v.Type().Field(i).Name, field.Type())
		}
	}
	return rec
}

func TestEncodeEveryField(t *testing.T) {
	checkEncoding(t, fillRecord(t, "x", 1))
	checkEncoding(t, fillRecord(t, "", 0))
	checkEncoding(t, audit.Record{Kind: audit.Admin})
}

func TestEncodeBounds(t *testing.T) {
	long := strings.Repeat("é", audit.MaxField)
	rec := audit.Record{Kind: audit.Decision, Tool: long, Reason: "a" + long, NotAfter: time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC)}
	for i := range 2 * audit.MaxList {
		rec.Scopes = append(rec.Scopes, fmt.Sprint(i))
		rec.Posture = append(rec.Posture, audit.PostureFact{Name: fmt.Sprint(i)})
	}
	var got audit.Record
	if err := json.Unmarshal(encoded(&rec), &got); err != nil {
		t.Fatal(err)
	}
	if want := strings.Repeat("é", audit.MaxField/2) + fmt.Sprintf("…[truncated 1024 bytes, sha256 %x]", sha256.Sum256([]byte(long))); got.Tool != want {
		t.Errorf("got tool %q", got.Tool)
	}
	if want := "a" + strings.Repeat("é", audit.MaxField/2-1) + fmt.Sprintf("…[truncated 1026 bytes, sha256 %x]", sha256.Sum256([]byte("a"+long))); got.Reason != want {
		t.Errorf("got reason %q", got.Reason)
	}
	if len(got.Scopes) != audit.MaxList+1 || got.Scopes[audit.MaxList] != "…[truncated 64 entries]" {
		t.Errorf("got scopes %q", got.Scopes)
	}
	if len(got.Posture) != audit.MaxList+1 || got.Posture[audit.MaxList].Name != "…[truncated 64 entries]" {
		t.Errorf("got posture %+v", got.Posture)
	}
	if want := time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC); !got.NotAfter.Equal(want) {
		t.Errorf("got not_after %v, want %v", got.NotAfter, want)
	}
}

// What a terminal or a text's direction could be driven by is escaped.
func TestEncodeIsSafeToPrint(t *testing.T) {
	for in, want := range map[string]string{
		"plain <b>&":      `"plain <b>&"`,
		"q\"b\\":          `"q\"b\\"`,
		"\x1b[2J\n":       `"\u001b[2J\u000a"`,
		"\x7f\u009b":      `"\u007f\u009b"`,
		"a\u202eb\u2066":  `"a\u202eb\u2066"`,
		"\u2028":          `"\u2028"`,
		"\U000e0041":      `"\udb40\udc41"`,
		"bad \xff\xc0 é😀": "\"bad \ufffd\ufffd é😀\"",
	} {
		line := string(encoded(&audit.Record{Tool: in}))
		if got := line[strings.Index(line, `"tool":`)+len(`"tool":`) : len(line)-1]; got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}

func FuzzEncode(f *testing.F) {
	for _, seed := range []string{"", "create_issue", "\"\\/\b\f\n\r\t\x00\x1f\x7f", "\xff\xfe\xc3(\xed\xa0\x80", "\u2028\u2029\ufeff\u202e\U000e0041😀", strings.Repeat("é", 600), strings.Repeat("\x80", 1100), "a" + strings.Repeat("😀", 300)} {
		f.Add(seed, int64(1))
		f.Add(seed, int64(-1))
	}
	f.Fuzz(func(t *testing.T, s string, n int64) {
		checkEncoding(t, fillRecord(t, s, n))
	})
}
