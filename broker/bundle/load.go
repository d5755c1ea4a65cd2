package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"unicode/utf8"

	"mintmark/internal/filekind"
)

// The files of a bundle, and the most that is read of each.
const (
	ConfigName = "mintmark.yaml"
	MaxConfig  = 1 << 20
	MaxPolicy  = 8 << 20
)

// Kinds are the implementations a configuration can name: for each kind a
// function that makes a pointer to that kind's zero Config, into which the
// keys of its registration are decoded.
type Kinds struct {
	Attestors map[string]func() any
	Posture   map[string]func() any
	Providers map[string]func() any
}

// byRegistration returns the kinds by the type whose settings they are.
func (k Kinds) byRegistration() map[reflect.Type]map[string]func() any {
	return map[reflect.Type]map[string]func() any{
		reflect.TypeFor[Attestor](): k.Attestors,
		reflect.TypeFor[Source]():   k.Posture,
		reflect.TypeFor[Provider](): k.Providers,
	}
}

// Validator is a configuration type with rules of its own. Validate is called
// once it is decoded without problems; it reports each field at fault by its
// path below the value ("region", "roles[0].arn", "" for the value itself),
// what was expected, and what came ("" for nothing worth saying). It may set
// defaults.
type Validator interface {
	Validate(report func(field, want, got string))
}

// Load reads the bundle in dir: mintmark.yaml and every *.cedar file whose name
// does not begin with a dot. Files may be symbolic links, as a mounted
// ConfigMap's are, but must lead to regular files that only their owner and group can write:
// who writes a policy may do anything. The error is Problems when
// something is wrong with what the files say: all of it, not the first. On
// error the bundle is nil.
func Load(dir string, kinds Kinds) (*Bundle, error) {
	r, err := Read(dir, kinds)
	if err != nil {
		return nil, err
	}
	if err := r.Problems.Err(); err != nil {
		return nil, err
	}
	return r.Bundle, nil
}

// Reading is a bundle as far as it could be read, and all that is wrong with what
// its files say. With Problems it is for whoever looks on for more of them, and to
// be put in force by nobody.
type Reading struct {
	Bundle   *Bundle
	Problems Problems
	Decoded  bool // mintmark.yaml is a mapping in YAML, so that Bundle.Config holds what of it could be read
}

// Read reads what Load does. The error says that the files could not be read at all.
func Read(dir string, kinds Kinds) (Reading, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Reading{}, fmt.Errorf("load bundle: %w", err)
	}
	config, policies, err := readFiles(dir)
	if err != nil {
		return Reading{}, fmt.Errorf("load bundle: %w", err)
	}
	return compile(&Bundle{Dir: dir, Digest: digest(config, policies), Policies: policies}, config, kinds), nil
}

// compile fills b.Config from config and finds all that is wrong with b.
func compile(b *Bundle, config []byte, kinds Kinds) Reading {
	secrets := scanner{leaks: leaks()}
	var all Problems
	for _, p := range b.Policies {
		all = append(all, checkText(secrets, p.Name, p.Content)...)
	}
	text := checkText(secrets, ConfigName, config)
	all = append(all, text...)
	d := &decoder{dir: b.Dir, kinds: kinds.byRegistration(), secrets: secrets, known: text}
	d.document(config, &b.Config)
	if d.decoded {
		check := checker{config: &b.Config, decoder: d}
		check.zeroes() // which the defaults would hide
		b.Config.setDefaults(b.Dir)
		check.all()
		b.places = d.remember(&b.Config)
	}
	return Reading{Bundle: b, Problems: append(all, d.problems...), Decoded: d.decoded}
}

// checkText refuses what no reader should be asked to interpret.
func checkText(secrets scanner, name string, content []byte) Problems {
	line := 0
	for text := range bytes.Lines(content) {
		if line++; !utf8.Valid(text) {
			return Problems{{File: name, Line: line, Column: 1, Text: "expected UTF-8 text, got a byte that is none"}}
		}
	}
	return secrets.text(name, string(content))
}

func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

func readFiles(dir string) ([]byte, []PolicyFile, error) {
	config, err := Path(filepath.Join(dir, ConfigName)).ReadShared(MaxConfig)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		if other := strings.TrimSuffix(ConfigName, ".yaml") + ".yml"; errors.Is(err, fs.ErrNotExist) && isFile(filepath.Join(dir, other)) {
			return nil, nil, fmt.Errorf("expected a directory with %s in it, got one with %s: rename that: %w", ConfigName, other, err)
		}
		if isFile(dir) {
			return nil, nil, fmt.Errorf("expected a directory with %s in it, got a file: name the directory: %w", ConfigName, err)
		}
		got := "one without"
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			got = "none of that name"
		}
		return nil, nil, fmt.Errorf("expected a directory with %s in it, got %s: %w", ConfigName, got, err)
	}
	if errors.Is(err, fs.ErrPermission) {
		return nil, nil, fmt.Errorf("%w: let the user who runs this read it and enter its directory", err)
	}
	if err != nil {
		return nil, nil, err
	}
	entries, err := os.ReadDir(dir) // sorted by name
	if err != nil {
		return nil, nil, err
	}
	var policies []PolicyFile
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".cedar" || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		content, err := Path(filepath.Join(dir, e.Name())).ReadShared(MaxPolicy)
		if errors.Is(err, fs.ErrPermission) {
			return nil, nil, fmt.Errorf("%w: let the user who runs this read it, as each *.cedar of the directory counts", err)
		}
		if err != nil && !isFile(filepath.Join(dir, e.Name())) {
			return nil, nil, fmt.Errorf("%w: each *.cedar of the directory counts as a policy: put it right, or give it another name", err)
		}
		if err != nil {
			return nil, nil, err
		}
		policies = append(policies, PolicyFile{Name: e.Name(), Content: content})
	}
	return config, policies, nil
}

func readAtMost(f io.Reader, name string, limit int64) ([]byte, error) {
	content, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(content)) > limit {
		return nil, fmt.Errorf("read %s: got more than %d bytes, want at most that", name, limit)
	}
	return content, nil
}

// openRegular opens a regular file. It does not wait for the writer of a pipe
// that someone put in its place.
func openRegular(name string) (*os.File, fs.FileInfo, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	if !info.Mode().IsRegular() {
		return nil, nil, errors.Join(fmt.Errorf("open %s: got %s, want a regular file", name, filekind.Name(info.Mode())), f.Close())
	}
	return f, info, nil
}

// digest names a bundle by its content: the SHA-256 of "mintmark bundle v1\n"
// and then, for mintmark.yaml and each policy file in order of name, the length
// of its name, its name, the length of its content, its content. Lengths are 64
// bits, big-endian; they keep two different bundles from writing the same bytes.
func digest(config []byte, policies []PolicyFile) string {
	var b bytes.Buffer
	b.WriteString("mintmark bundle v1\n")
	field := func(content []byte) {
		b.Write(binary.BigEndian.AppendUint64(nil, uint64(len(content))))
		b.Write(content)
	}
	field([]byte(ConfigName))
	field(config)
	for _, p := range policies {
		field([]byte(p.Name))
		field(p.Content)
	}
	sum := sha256.Sum256(b.Bytes())
	return hex.EncodeToString(sum[:])
}
