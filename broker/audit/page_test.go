package audit_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mintmark/broker/audit"
)

// stranger verifies a log from docs/audit.md alone: it uses nothing of the
// package. It returns how many records there are.
func stranger(dir string, key ed25519.PublicKey) (records int, err error) {
	names, err := filepath.Glob(filepath.Join(dir, "????????.log"))
	if err != nil || len(names) == 0 {
		return 0, fmt.Errorf("no segment: %w", err)
	}
	slices.Sort(names)
	prev, unsigned := strings.Repeat("0", 64), 0
	for i, name := range names {
		last := i == len(names)-1
		if filepath.Base(name) != fmt.Sprintf("%08d.log", i+1) {
			return 0, fmt.Errorf("segment %d is missing", i+1)
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return 0, err
		}
		all := strings.Split(string(text), "\n")
		if torn := all[len(all)-1]; torn != "" && !last {
			return 0, fmt.Errorf("%s: torn", name)
		}
		for _, line := range all[:len(all)-1] {
			rest, ok := strings.CutPrefix(line, `{"prev":"`+prev+`",`)
			var c struct {
				Seq        int
				Checkpoint *struct{ Time string }
				Sig        string
			}
			if err := json.Unmarshal([]byte(line), &c); err != nil || !ok {
				return 0, fmt.Errorf("%s: chain: %q", name, line)
			}
			if strings.HasPrefix(rest, `"checkpoint":`) && c.Checkpoint != nil {
				form := fmt.Sprintf(`"checkpoint":{"seq":%d,"time":"%s","head":"%s"},"sig":"%s"}`, records, c.Checkpoint.Time, prev, c.Sig)
				message := fmt.Sprintf("mintmark audit checkpoint v1\n%d\n%s\n%s\n", records, c.Checkpoint.Time, prev)
				sig, err := base64.StdEncoding.Strict().DecodeString(c.Sig)
				if err != nil || rest != form || !ed25519.Verify(key, []byte(message), sig) {
					return 0, fmt.Errorf("%s: checkpoint: %q", name, line)
				}
				unsigned = 0
			} else {
				records++
				unsigned++
				if !strings.HasPrefix(rest, fmt.Sprintf(`"seq":%d,"time":"`, records)) || unsigned > 1000 {
					return 0, fmt.Errorf("%s: seq: %q", name, line)
				}
			}
			sum := sha256.Sum256([]byte(line))
			prev = hex.EncodeToString(sum[:])
		}
		if unsigned > 0 && !last {
			return 0, fmt.Errorf("%s: end was removed", name)
		}
	}
	return records, nil
}

func TestStrangerVerifiesFromThePage(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, audit.Options{Directory: dir, SegmentSize: 256 << 10})
	const n = 2500
	for i := range n {
		rec := decision(i)
		rec.Tool = fmt.Sprintf("tool \"%d\"\n\u202e\xff", i)
		l.Note(rec)
	}
	mustClose(t, l)
	block, _ := pem.Decode(readFile(t, filepath.Join(dir, "log.pub")))
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	key := parsed.(ed25519.PublicKey)
	if got, err := stranger(dir, key); err != nil || got != n {
		t.Fatalf("got %d records and %v, want %d", got, err, n)
	}
	report := mustVerify(t, dir)
	if report.Records != n || report.Segments < 3 {
		t.Fatalf("got %+v", report)
	}
}

// The two verifiers agree on every log with one altered byte.
func TestStrangerSeesWhatVerifySees(t *testing.T) {
	whole := smallLog(t, 3, 300)
	for _, path := range segments(t, whole) {
		text := readFile(t, path)
		dir := copyLog(t, whole)
		target := filepath.Join(dir, filepath.Base(path))
		for at := range len(text) - 1 { // the last newline makes a torn tail, whose shape the stranger leaves out
			altered := bytes.Clone(text)
			altered[at] ^= 1
			writeFile(t, target, altered)
			if _, err := stranger(dir, testPublic()); err == nil {
				t.Fatalf("%s byte %d: the stranger saw nothing", path, at)
			}
			wantNotOK(t, dir, fmt.Sprintf("%s byte %d", path, at))
		}
	}
}

// The page states what the code does.
func TestPageStatesTheFormat(t *testing.T) {
	page := string(readFile(t, filepath.Join("..", "..", "docs", "audit.md")))
	for _, want := range []string{
		audit.CheckpointDomain,
		fmt.Sprintf("%d,%03d records", audit.MaxUnsigned/1000, audit.MaxUnsigned%1000),
		fmt.Sprintf("A string over %d KiB", audit.MaxField>>10),
		fmt.Sprintf("a list over %d entries", audit.MaxList),
	} {
		if !strings.Contains(page, want) {
			t.Errorf("docs/audit.md does not state %q", want)
		}
	}
}
