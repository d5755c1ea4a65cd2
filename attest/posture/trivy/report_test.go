package trivy

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	content, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// What is in 0.74.0 was written by Trivy of that version, built from its module and
// so called "dev"; its vulnerability is one of a database made for that.
func TestParseRealReports(t *testing.T) {
	for _, tc := range []struct {
		file    string
		failOn  []string
		value   string
		digests []string
		created string
	}{
		{"alpine-fail.json", []string{"CRITICAL", "HIGH"}, "fail", []string{
			"sha256:05455a08881ea9cf0e752bc48e61bbd71a34c029bb13df01e40e3e70e0d007bd",
			"sha256:c5b1261d6d3e43071626931fc004f70149baeba2c8ec672bd4f27761f8e1ad6b",
		}, "2026-06-10T09:14:02.518239112Z"},
		{"alpine-fail.json", []string{"CRITICAL"}, "pass", []string{
			"sha256:05455a08881ea9cf0e752bc48e61bbd71a34c029bb13df01e40e3e70e0d007bd",
			"sha256:c5b1261d6d3e43071626931fc004f70149baeba2c8ec672bd4f27761f8e1ad6b",
		}, "2026-06-10T09:14:02.518239112Z"},
		{"filesystem-pass.json", []string{"CRITICAL", "HIGH"}, "pass", nil, "2026-06-10T09:02:44.100912Z"},
		{"filesystem-pass.json", []string{"MEDIUM"}, "fail", nil, "2026-06-10T09:02:44.100912Z"},
		{"filesystem-pass.json", []string{"LOW"}, "fail", nil, "2026-06-10T09:02:44.100912Z"},
		{"0.74.0/image-pass.json", []string{"CRITICAL", "HIGH"}, "pass", []string{
			"sha256:033309dba1ee841f56ded5db1727ac2bb2e038df36cc29463c3e19d870ba8416",
		}, "2026-11-30T19:43:20.24300037Z"},
		{"0.74.0/image-fail.json", []string{"CRITICAL", "HIGH"}, "fail", []string{
			"sha256:033309dba1ee841f56ded5db1727ac2bb2e038df36cc29463c3e19d870ba8416",
		}, "2026-11-30T19:43:46.973958256Z"},
		{"0.74.0/rootfs-secret.json", []string{"CRITICAL", "HIGH"}, "fail", nil, "2026-11-30T19:43:19.645489261Z"},
		{"0.74.0/rootfs-secret.json", []string{"HIGH"}, "pass", nil, "2026-11-30T19:43:19.645489261Z"},
		{"0.74.0/config-fail.json", []string{"CRITICAL", "HIGH"}, "fail", nil, "2026-11-30T19:43:32.565776679Z"},
		{"0.74.0/config-fail.json", []string{"CRITICAL"}, "pass", nil, "2026-11-30T19:43:32.565776679Z"},
	} {
		r, err := parse(bytes.NewReader(fixture(t, tc.file)))
		if err != nil {
			t.Fatalf("%s: %v", tc.file, err)
		}
		created := r.CreatedAt.UTC().Format(time.RFC3339Nano)
		if got := r.value(tc.failOn); got != tc.value || !slices.Equal(r.digests(), tc.digests) || created != tc.created {
			t.Errorf("%s failing on %v: got %s about %v at %s, want %s about %v at %s",
				tc.file, tc.failOn, got, r.digests(), created, tc.value, tc.digests, tc.created)
		}
	}
}

// Trivy's report of a folder of scripts has no results at all.
func TestAReportOfNothingExaminedSaysNothing(t *testing.T) {
	if r, err := parse(bytes.NewReader(fixture(t, "0.74.0/scripts-nothing.json"))); err == nil || !strings.Contains(err.Error(), "found nothing there to examine") {
		t.Errorf("got %+v and error %v, want one that says that nothing was examined", r, err)
	}
}

func TestValue(t *testing.T) {
	for name, tc := range map[string]struct{ results, want string }{
		"nothing found":          {`[{"Target":"x"}]`, "pass"},
		"vulnerability":          {`[{},{"Vulnerabilities":[{"Severity":"LOW"},{"Severity":"CRITICAL"}]}]`, "fail"},
		"lesser vulnerability":   {`[{"Vulnerabilities":[{"Severity":"MEDIUM"},{"Severity":"UNKNOWN"}]}]`, "pass"},
		"secret":                 {`[{"Secrets":[{"Severity":"HIGH"}]}]`, "fail"},
		"failed check":           {`[{"Misconfigurations":[{"Severity":"HIGH","Status":"FAIL"}]}]`, "fail"},
		"passed check":           {`[{"Misconfigurations":[{"Severity":"HIGH","Status":"PASS"}]}]`, "pass"},
		"excepted check":         {`[{"Misconfigurations":[{"Severity":"HIGH","Status":"EXCEPTION"}]}]`, "pass"},
		"check of unknown state": {`[{"Misconfigurations":[{"Severity":"HIGH"}]}]`, "fail"},
		"severity of a new kind": {`[{"Vulnerabilities":[{"Severity":"EXTREME"}]}]`, "fail"},
		"no severity":            {`[{"Vulnerabilities":[{}]}]`, "fail"},
		"other case":             {`[{"Vulnerabilities":[{"Severity":"critical"}]}]`, "fail"},
	} {
		r, err := parse(strings.NewReader(`{"SchemaVersion":2,"CreatedAt":"2026-06-10T09:00:00Z","Results":` + tc.results + `}`))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := r.value([]string{"CRITICAL", "HIGH"}); got != tc.want {
			t.Errorf("%s: got %s, want %s", name, got, tc.want)
		}
	}
}

const rest = `"CreatedAt":"2026-06-10T09:00:00Z","Results":[{"Target":"x"}]}`

func TestParseRefuses(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"nothing":           {"", "decode"},
		"half":              {string(fixture(t, "alpine-fail.json")[:700]), "decode"},
		"old schema":        {`[{"Target":"x","Vulnerabilities":[]}]`, "decode"},
		"schema 1":          {`{"SchemaVersion":1,` + rest, "SchemaVersion: got 1"},
		"schema 3":          {`{"SchemaVersion":3,` + rest, "SchemaVersion: got 3"},
		"no schema":         {`{` + rest, "SchemaVersion: got 0"},
		"differently cased": {`{"schemaversion":2,` + rest, "SchemaVersion: got 0"},
		"no time":           {`{"SchemaVersion":2,"Results":[{}]}`, "CreatedAt: got none"},
		"null time":         {`{"SchemaVersion":2,"CreatedAt":null,"Results":[{}]}`, "CreatedAt: got none"},
		"bad time":          {`{"SchemaVersion":2,"CreatedAt":"today","Results":[{}]}`, "decode"},
		"examined nothing":  {`{"SchemaVersion":2,"CreatedAt":"2026-06-10T09:00:00Z"}`, "results: got none"},
		"a name twice":      {`{"SchemaVersion":2,"Results":[{"Secrets":[{"Severity":"HIGH"}]}],` + rest, "duplicate"},
		"two values":        {`{"SchemaVersion":2,` + rest + `{}`, "decode"},
		"not text":          {"{\"SchemaVersion\":2,\"ArtifactName\":\"\xff\"," + rest, "UTF-8"},
	} {
		r, err := parse(strings.NewReader(tc.text))
		if err == nil || !strings.Contains(err.Error(), tc.want) || r.SchemaVersion != 0 {
			t.Errorf("%s: got %+v, %v, want no report and an error with %q", name, r, err, tc.want)
		}
	}
}

// endless is a report that never ends.
type endless struct{ head *strings.Reader }

func (e endless) Read(p []byte) (int, error) {
	if e.head.Len() > 0 {
		return e.head.Read(p)
	}
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func TestParseStopsReading(t *testing.T) {
	_, err := parse(endless{strings.NewReader(`{"ArtifactName":"`)})
	if err == nil || !strings.Contains(err.Error(), "want at most") {
		t.Errorf("got %v, want a size error", err)
	}
}

// FuzzParse holds that a report that is accepted has a time, something it
// examined, and one of two values; and that one that is not says nothing.
func FuzzParse(f *testing.F) {
	f.Add(fixture(f, "alpine-fail.json"))
	f.Add(fixture(f, "filesystem-pass.json"))
	f.Add([]byte(`{"SchemaVersion":2,` + rest))
	f.Add([]byte(`{"SchemaVersion":2,"Metadata":{"ImageID":"sha256:zz","RepoDigests":["@","a@b@sha256:` + strings.Repeat("0", 64) + `"]},` + rest))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := parse(bytes.NewReader(text))
		if err != nil {
			if r.SchemaVersion != 0 || r.Results != nil || r.digests() != nil {
				t.Fatalf("an error came with %+v", r)
			}
			return
		}
		if r.CreatedAt.IsZero() || len(r.Results) == 0 || r.SchemaVersion != 2 {
			t.Fatalf("accepted %+v", r)
		}
		strict, lax := r.value(severities()), r.value(nil)
		if lax == "fail" && strict == "pass" {
			t.Fatal("a stricter list passes what a laxer one fails")
		}
		for _, d := range r.digests() {
			if !validDigest(d) {
				t.Fatalf("digest %q", d)
			}
		}
	})
}
