// Package arch holds the shape of the module: who may import whom, and who may
// say that a workload is proven.
package arch_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module = "mintmark/"
	root   = "../.."
)

// arrow is one row of the import table: the packages that match from may
// import the ones that match to, and no others of this module. A name ending in
// /* matches one level below, in /... the name and everything below.
type arrow struct {
	from string
	to   []string
}

// table is the import direction: back along a call's way, never forward, never
// sideways. The first row that matches a package is the one it is held to.
func table() []arrow {
	leaves := []string{"internal/fault", "broker/audit", "broker/bundle", "broker/store", "broker/pins"}
	with := func(names ...string) []string { return append(names, leaves...) }
	return []arrow{
		{"cmd/...", []string{"..."}},

		{"broker", with("attest", "attest/posture", "attest/trust", "policies", "providers", "injector", "injector/mcp", "broker/console", "broker/escrow", "internal/filekind", "internal/http1", "internal/owned")},
		{"broker/console", leaves},
		{"broker/bundle", []string{"internal/fault", "internal/egress", "internal/filekind"}},
		{"broker/*", []string{"internal/fault", "internal/filekind", "internal/filelock", "internal/owned"}}, // the leaves

		{"injector", with("providers", "injector/mcp", "internal/coding", "internal/dpop", "internal/egress", "internal/http1", "internal/unreached", "internal/wiped")},
		{"injector/mcp", []string{"internal/fault"}},

		{"providers", with("attest", "internal/egress", "internal/unreached", "internal/wiped")},
		{"providers/*", with("attest", "providers", "providers/internal/*", "internal/dpop", "internal/filekind", "internal/filelock", "internal/owned")},
		{"providers/internal/jwtkey", with("providers", "providers/internal/pemkey")},
		{"providers/internal/*", with("providers")},

		{"policies", with("attest", "attest/posture", "injector/mcp")},

		{"attest", leaves},
		{"attest/*", with("attest")},
		{"attest/posture/*", with("attest", "attest/posture", "internal/filekind")},

		{"internal/testenv", []string{"internal/trustdomain"}},
		{"internal/unreached", []string{"internal/egress"}},
		{"internal/*", nil},
	}
}

// testSupport are the packages that only tests import, and that may do what
// tests may.
func testSupport() []string { return []string{"internal/testenv", "providers/internal/providertest"} }

func TestImportsPointBackAlongTheCall(t *testing.T) {
	files := product(t)
	for _, f := range files {
		for _, imported := range f.imports() {
			if slices.Contains(testSupport(), imported) {
				t.Errorf("%s imports %s, which is for tests", f.name, imported)
			} else if !allowed(f.pkg, imported) {
				t.Errorf("%s imports %s: the table allows %s to import %v", f.name, imported, f.pkg, row(f.pkg).to)
			}
		}
	}
}

func TestEveryPackageHasARow(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range product(t) {
		if !seen[f.pkg] && row(f.pkg).from == "" {
			t.Errorf("%s is in no row of the table: say what it may import", f.pkg)
		}
		seen[f.pkg] = true
	}
	if len(seen) < 10 {
		t.Errorf("got %d packages, want at least 10: is this the module's root?", len(seen))
	}
}

// TestTheTableRefuses keeps the table from becoming one that allows anything.
func TestTheTableRefuses(t *testing.T) {
	for _, forbidden := range [][2]string{
		{"attest", "attest/jwtsvid"},
		{"attest/jwtsvid", "attest/x509svid"},
		{"attest/posture/trivy", "attest/trust"},
		{"attest", "providers"},
		{"providers/vault", "providers/oauth"},
		{"providers", "injector"},
		{"providers/internal/jsonhttp", "providers/gcp"},
		{"injector", "attest"},
		{"injector", "policies"},
		{"injector", "broker"},
		{"policies", "providers"},
		{"broker", "providers/vault"},
		{"broker", "attest/jwtsvid"},
		{"broker", "cmd/mintmark"},
		{"broker/audit", "broker/bundle"},
		{"broker/bundle", "broker"},
		{"internal/fault", "broker/audit"},
		{"internal/trustdomain", "attest"},
	} {
		if allowed(forbidden[0], forbidden[1]) {
			t.Errorf("the table allows %s to import %s", forbidden[0], forbidden[1])
		}
	}
}

// TestOnlyAttestorsProve holds attest.Proven to the packages below attest: a
// workload is proven by evidence and by nothing else.
func TestOnlyAttestorsProve(t *testing.T) {
	callers := 0
	for _, f := range product(t) {
		for _, position := range f.uses("attest", "Proven") {
			callers++
			if f.pkg != "attest" && !strings.HasPrefix(f.pkg, "attest/") {
				t.Errorf("%s uses attest.Proven: only attestors may", position)
			}
		}
	}
	if callers < 2 {
		t.Errorf("got %d uses of attest.Proven, want at least two: does this test still find them?", callers)
	}
}

// TestUnverifiedTokensDecideNothing bans go-spiffe's unverified parser.
func TestUnverifiedTokensDecideNothing(t *testing.T) {
	for _, f := range product(t) {
		for _, position := range f.uses("github.com/spiffe/go-spiffe/v2/svid/jwtsvid", "ParseInsecure") {
			t.Errorf("%s uses jwtsvid.ParseInsecure: it proves nothing", position)
		}
	}
}

// source is one parsed file.
type source struct {
	pkg  string // directory below the root
	name string
	file *ast.File
	set  *token.FileSet
}

// product parses every file of the module that is neither a test nor test
// support.
func product(t *testing.T) []source {
	t.Helper()
	var all []source
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return skip(name)
		}
		relative, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		pkg := path.Dir(filepath.ToSlash(relative))
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") || slices.Contains(testSupport(), pkg) {
			return nil
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		all = append(all, source{pkg: pkg, name: relative, file: file, set: set})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// skip leaves out what is not of this module: tools, fixtures, other modules.
func skip(dir string) error {
	base := filepath.Base(dir)
	if dir != root && (strings.HasPrefix(base, ".") || base == "testdata" || base == "node_modules") {
		return filepath.SkipDir
	}
	return nil
}

// imports returns the packages of this module that s imports.
func (s source) imports() []string {
	var all []string
	for _, spec := range s.file.Imports {
		if own, ok := strings.CutPrefix(importPath(spec), module); ok {
			all = append(all, own)
		}
	}
	return all
}

// uses returns where s names something of a package: of this module, or one
// given by its full path.
func (s source) uses(pkg, name string) []string {
	local := ""
	for _, spec := range s.file.Imports {
		if p := importPath(spec); p == pkg || p == module+pkg {
			local = path.Base(pkg)
			if spec.Name != nil {
				local = spec.Name.Name
			}
		}
	}
	if local == "" {
		return nil
	}
	var found []string
	ast.Inspect(s.file, func(n ast.Node) bool {
		selector, ok := n.(*ast.SelectorExpr)
		if !ok || selector.Sel.Name != name {
			return true
		}
		if x, ok := selector.X.(*ast.Ident); ok && x.Name == local {
			found = append(found, s.set.Position(n.Pos()).String())
		}
		return true
	})
	return found
}

func importPath(spec *ast.ImportSpec) string {
	p, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return "" // the parser has accepted it
	}
	return p
}

func allowed(from, to string) bool {
	return slices.ContainsFunc(row(from).to, func(pattern string) bool { return matches(pattern, to) })
}

// row returns the row that pkg is held to, or an empty one.
func row(pkg string) arrow {
	for _, a := range table() {
		if matches(a.from, pkg) {
			return a
		}
	}
	return arrow{}
}

func matches(pattern, pkg string) bool {
	if pattern == "..." {
		return true
	}
	if parent, ok := strings.CutSuffix(pattern, "/..."); ok {
		return pkg == parent || strings.HasPrefix(pkg, parent+"/")
	}
	if parent, ok := strings.CutSuffix(pattern, "/*"); ok {
		return path.Dir(pkg) == parent
	}
	return pkg == pattern
}
