package bundle_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"mintmark/broker/bundle"
)

const separator = "----------\n"

// TestGolden loads each testdata file's input and compares the configuration,
// or the problems, with what stands below the line. With UPDATE_GOLDEN=1 it
// writes what Load answers there, to be read before it is kept.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 40 {
		t.Fatalf("got %d golden files, want at least 40", len(files))
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) { checkGolden(t, name) })
	}
}

func checkGolden(t *testing.T, name string) {
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	input, want, ok := strings.Cut(string(content), separator)
	if !ok {
		t.Fatalf("%s has no line %q", name, separator)
	}
	dir := t.TempDir()
	write(t, dir, bundle.ConfigName, input)
	b, err := bundle.Load(dir, kinds())
	got := strings.ReplaceAll(outcome(b, err), dir, "DIR")
	if os.Getenv("UPDATE_GOLDEN") == "1" {
		if err := os.WriteFile(name, []byte(input+separator+got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func outcome(b *bundle.Bundle, err error) string {
	if err != nil {
		return err.Error() + "\n"
	}
	var out strings.Builder
	show(&out, "", reflect.ValueOf(b.Config))
	return out.String()
}

// show writes one line "path = value" for each leaf that is not zero.
func show(out *strings.Builder, path string, v reflect.Value) {
	if v.IsZero() {
		return
	}
	if s, ok := v.Interface().(fmt.Stringer); ok {
		fmt.Fprintf(out, "%s = %s\n", path, s)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		showStruct(out, path, v)
	case reflect.Pointer, reflect.Interface:
		show(out, path, v.Elem())
	case reflect.Slice:
		for i := range v.Len() {
			show(out, fmt.Sprintf("%s[%d]", path, i), v.Index(i))
		}
	case reflect.Map:
		names := v.MapKeys()
		slices.SortFunc(names, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, k := range names {
			show(out, path+"."+k.String(), v.MapIndex(k))
		}
	default:
		fmt.Fprintf(out, "%s = %v\n", path, v.Interface())
	}
}

func showStruct(out *strings.Builder, path string, v reflect.Value) {
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		if path != "" && name != "" {
			name = "." + name
		}
		show(out, path+name, v.Field(i))
	}
}

// The kinds of these tests: one of each sort of setting.
type (
	jwtConfig struct {
		Audience string `yaml:"audience" check:"required"`
	}
	noConfig    struct{}
	fileposture struct {
		Directory bundle.Path     `yaml:"directory" check:"required"`
		MaxAge    bundle.Duration `yaml:"max_age"`
	}
	oauthConfig struct {
		TokenURL     bundle.URL        `yaml:"token_url" check:"required"`
		ClientID     string            `yaml:"client_id"`
		ClientSecret bundle.Ref        `yaml:"client_secret"`
		Scopes       []string          `yaml:"scopes"`
		Extra        map[string]string `yaml:"extra"`
		Retries      int               `yaml:"retries"`
		Backoff      float64           `yaml:"backoff"`
		Proxy        *bundle.URL       `yaml:"proxy"`
		Token        string            `yaml:"token"`
		Hidden       string            // no tag: not settable
	}
)

// Scheme says that clients can be asked for a token.
func (jwtConfig) Scheme() string { return "Bearer" }

// Validate refuses duplicate scopes, spaces and fields that do not go together, and sets
// a default.
func (c *oauthConfig) Validate(report func(field, want, got string)) {
	for i, s := range c.Scopes {
		if slices.Contains(c.Scopes[:i], s) {
			report(fmt.Sprintf("scopes[%d]", i), "each scope once", fmt.Sprintf("%q again", s))
		}
		if strings.Contains(s, " ") {
			report("scopes", "scopes without a space", fmt.Sprintf("%q", s))
		}
	}
	if c.ClientID == "" {
		report("client_id", "a client id, as what is at token_url asks for one", "")
	}
	if strings.Contains(c.ClientID, " ") {
		report("client_id", "a client id without a space", c.ClientID)
	}
	if len(c.Extra) > 0 && c.Backoff == 0 {
		report("extra", "a backoff with it", "none")
	}
	if c.Retries == 0 {
		c.Retries = 2
	}
}

type grantConfig struct {
	Token bundle.Ref  `yaml:"token"`
	State bundle.Path `yaml:"state"`
}

func (g grantConfig) Holds() (bundle.Path, bundle.Ref) { return g.State, g.Token }

func kinds() bundle.Kinds {
	return bundle.Kinds{
		Attestors: map[string]func() any{
			"jwt-svid":  func() any { return new(jwtConfig) },
			"x509-svid": func() any { return new(noConfig) },
		},
		Posture:   map[string]func() any{"file": func() any { return new(fileposture) }},
		Providers: map[string]func() any{"oauth": func() any { return new(oauthConfig) }, "grant": func() any { return new(grantConfig) }},
	}
}

func write(t testing.TB, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

const minimal = `trust_domain: example.org
trust: {workload_api: "unix:///run/spire/agent.sock"}
listeners: [{address: "127.0.0.1:8443"}]
attestors: [{kind: x509-svid}]
upstreams:
  orders: {url: "https://orders.example.org/mcp", unauthenticated: true}
`

func TestPoliciesAreReadInOrderOfName(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, bundle.ConfigName, minimal)
	write(t, dir, "b.cedar", "permit(principal, action, resource);")
	write(t, dir, "a.cedar", "forbid(principal, action, resource);")
	write(t, dir, ".c.cedar", "not read")
	write(t, dir, "d.cedar.bak", "not read")
	b, err := bundle.Load(dir, kinds())
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Policies) != 2 || b.Policies[0].Name != "a.cedar" || b.Policies[1].Name != "b.cedar" {
		t.Errorf("policies: got %v, want a.cedar and b.cedar", b.Policies)
	}
	if string(b.Policies[0].Content) != "forbid(principal, action, resource);" {
		t.Errorf("content: got %q", b.Policies[0].Content)
	}
}

func TestDigestNamesContentAndNames(t *testing.T) {
	one := load(t, map[string]string{"a.cedar": "x", "b.cedar": "y"})
	seen := map[string]string{one.Digest: "the first"}
	zeros := strings.Repeat("\x00", 8) // where a length stands
	for name, files := range map[string]map[string]string{
		"renamed":         {"a.cedar": "x", "c.cedar": "y"},
		"content swapped": {"a.cedar": "y", "b.cedar": "x"},
		"content moved":   {"a.cedar": "xy", "b.cedar": ""},
		"one less":        {"a.cedar": "x"},
		"joined":          {"a.cedar": "xb.cedary"},
		"joined by zeros": {"a.cedar": "x" + zeros + "b.cedar" + zeros + "y"},
	} {
		b := load(t, files)
		if other, ok := seen[b.Digest]; ok {
			t.Errorf("%s has the digest of %s", name, other)
		}
		seen[b.Digest] = name
	}
	if again := load(t, map[string]string{"a.cedar": "x", "b.cedar": "y"}); again.Digest != one.Digest {
		t.Errorf("same content elsewhere: got %s, want %s", again.Digest, one.Digest)
	}
	if len(one.Digest) != 64 {
		t.Errorf("digest: got %q, want 64 hex characters", one.Digest)
	}
}

func load(t *testing.T, policies map[string]string) *bundle.Bundle {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, bundle.ConfigName, minimal)
	for name, content := range policies {
		write(t, dir, name, content)
	}
	b, err := bundle.Load(dir, kinds())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSecretsInPoliciesAreRefusedByPosition(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, bundle.ConfigName, minimal)
	write(t, dir, "a.cedar", "// rotate\n//   ghp_abcdefghijklmnopqrst\n")
	_, err := bundle.Load(dir, kinds())
	if err == nil || !strings.HasPrefix(err.Error(), "a.cedar:2:6: found a GitHub token: ") || strings.Contains(err.Error(), "ghp_") {
		t.Errorf("got %v, want a GitHub token at a.cedar:2:6, not shown", err)
	}
	problems, ok := errors.AsType[bundle.Problems](err)
	if !ok || len(problems) != 1 || problems[0].Line != 2 || problems[0].Column != 6 {
		t.Errorf("as Problems: got %+v", problems)
	}
}

func TestEveryKnownSecretFormIsRefusedUnshown(t *testing.T) {
	for _, secret := range []string{
		"-----BEGIN EC PRIVATE KEY-----",
		"-----BEGIN PRIVATE KEY-----",
		"AKIAIOSFODNN7EXAMPLE",
		"ASIAIOSFODNN7EXAMPLE",
		"ghp_abcdefghijklmnopqrstuvwxyz0123456789",
		"github_pat_11ABCDEFG0abcdefghij",
		"glpat-abcdefghijklmnopqrst",
		"xoxb-12345678-abcdefgh",
		"sk-abcdefghijklmnopqrstuvwx",
		"sk_live_abcdefghijkl",
		"eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.c2lnbmF0dXJl",
		"hvs.CAESIabcdefghijklmnop",
		"s.abcdefghijklmnopqrstuvwx",
		"postgres://app:hunter2@db.example.org/orders",
		"AGE-SECRET-KEY-1QQQQQQQQQQQQ",
	} {
		for _, place := range []string{"# %s\n", "metrics: \"%s\"\n", "\"%s\": 1\n", "listeners: [{address: '%s'}]\n", "providers: {\"%s\": {kind: oauth}}\n"} {
			dir := t.TempDir()
			write(t, dir, bundle.ConfigName, fmt.Sprintf(place, secret))
			_, err := bundle.Load(dir, kinds())
			if err == nil || !strings.Contains(err.Error(), ": found a") {
				t.Errorf("%q in %q: got %v, want it found", secret, place, err)
			}
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("%q in %q is shown: %v", secret, place, err)
			}
		}
	}
}

func TestSecretHiddenByEscapesIsFound(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, bundle.ConfigName, `metrics: "\x41KIAIOSFODNN7EXAMPLE"`)
	_, err := bundle.Load(dir, kinds())
	if err == nil || !strings.Contains(err.Error(), "mintmark.yaml:1:10: metrics: found an AWS access key") {
		t.Errorf("got %v, want the key found", err)
	}
}

func TestFilesThatAreNotRead(t *testing.T) {
	dir := t.TempDir()
	check := func(what, want string) {
		t.Helper()
		if b, err := bundle.Load(dir, kinds()); err == nil || b != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, %v, want an error with %q", what, b, err, want)
		}
	}
	check("no file", "expected a directory with mintmark.yaml in it, got one without: ")
	write(t, dir, "mintmark.yml", minimal)
	check("another name", "expected a directory with mintmark.yaml in it, got one with mintmark.yml: rename that")
	write(t, dir, bundle.ConfigName, strings.Repeat("#", bundle.MaxConfig+1))
	check("a large file", "want at most that")
	write(t, dir, bundle.ConfigName, "# ü\nmetrics: \xff\xfe\n")
	check("not UTF-8", "mintmark.yaml:2:1: expected UTF-8 text, got a byte that is none")
	write(t, dir, bundle.ConfigName, minimal)
	if err := os.Mkdir(filepath.Join(dir, "a.cedar"), 0o700); err != nil {
		t.Fatal(err)
	}
	check("a directory", "a.cedar: got a directory, want a regular file")
}

// Who can write a file of the bundle says who may do what.
func TestFilesThatOthersCanWriteAreRefused(t *testing.T) {
	for _, name := range []string{bundle.ConfigName, "a.cedar"} {
		for _, mode := range []os.FileMode{0o666, 0o602} {
			dir := t.TempDir()
			write(t, dir, bundle.ConfigName, minimal)
			write(t, dir, "a.cedar", "")
			if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
				t.Fatal(err)
			}
			b, err := bundle.Load(dir, kinds())
			if err == nil || b != nil || !strings.Contains(err.Error(), filepath.Join(dir, name)+": got mode") || !strings.Contains(err.Error(), "chmod o-w") {
				t.Errorf("%s with mode %v: got %v, %v, want it refused by name", name, mode, b, err)
			}
		}
	}
}

func TestSymbolicLinksAreFollowed(t *testing.T) {
	elsewhere, dir := t.TempDir(), t.TempDir()
	write(t, elsewhere, "config", minimal)
	if err := os.Symlink(filepath.Join(elsewhere, "config"), filepath.Join(dir, bundle.ConfigName)); err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Load(dir, kinds())
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(dir, "audit"); string(b.Config.Audit.Directory) != want {
		t.Errorf("audit directory: got %s, want %s, beside the link", b.Config.Audit.Directory, want)
	}
}

// TestProblemsAreOneALine holds what editors and scripts read: the bare
// problems, whichever is the first of them.
func TestProblemsAreOneALine(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.cedar", "// AKIAIOSFODNN7EXAMPLE\n// AKIAIOSFODNN7EXAMPLE")
	for config, want := range map[string]int{
		"": 3, "a: [": 3, minimal: 2, "metrics: \"a\\nb\"\n": 8,
		minimal + "limits: {depth: -1, body: \"a\\nb\", \"c\\nd\": 1}\nclocks: {x: \"a\\nb\"}\n": 6,
	} {
		write(t, dir, bundle.ConfigName, config)
		_, err := bundle.Load(dir, kinds())
		problems, ok := errors.AsType[bundle.Problems](err)
		if !ok || len(problems) != want {
			t.Errorf("%q: got %d problems, want %d: %v", config, len(problems), want, err)
		}
		checkLines(t, problems)
	}
}

func checkLines(t *testing.T, problems bundle.Problems) {
	t.Helper()
	lines := strings.Split(problems.Error(), "\n")
	if len(lines) != len(problems) {
		t.Errorf("got %d lines of %d problems:\n%v", len(lines), len(problems), problems)
	}
	for _, line := range lines {
		if file, _, ok := strings.Cut(line, ":"); !ok || file != bundle.ConfigName && filepath.Ext(file) != ".cedar" {
			t.Errorf("got the line %q, want it to begin with a file", line)
		}
	}
}

// FuzzLoad holds that no configuration makes Load panic, return a bundle with
// an error, repeat what looks like a secret, or say two things on a line.
func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		f.Fatalf("seeds: got %d, %v, want the golden files", len(files), err)
	}
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		input, _, _ := bytes.Cut(content, []byte(separator))
		f.Add(input)
	}
	f.Add([]byte("? [a, b]\n: &x !!str y\n<<: *x\n"))
	f.Add([]byte("%YAML 1.2\n---\n'eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.c2lnbmF0dXJl': {"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, content []byte) {
		write(t, dir, bundle.ConfigName, string(content))
		b, err := bundle.Load(dir, kinds())
		if (b == nil) != (err != nil) {
			t.Fatalf("got %v with error %v, want one of them", b, err)
		}
		if err != nil && bundle.HoldsSecret(strings.ReplaceAll(err.Error(), dir, "")) {
			t.Errorf("the error repeats a secret: %v", err)
		}
		if problems, ok := errors.AsType[bundle.Problems](err); ok {
			checkLines(t, problems)
		}
	})
}
