package audit_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mintmark/broker/audit"
)

// Every value of every byte: nothing in a closed log is free.
func TestVerifySeesEveryAlteredByte(t *testing.T) {
	whole := smallLog(t, 3, 300)
	if n := len(segments(t, whole)); n < 2 {
		t.Fatalf("got %d segments, want 2 or more", n)
	}
	for _, path := range segments(t, whole) {
		dir := copyLog(t, whole)
		target := filepath.Join(dir, filepath.Base(path))
		text := readFile(t, path)
		f, err := os.OpenFile(target, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		for at := range text {
			for _, b := range substitutes(text[at]) {
				writeAt(t, f, at, b)
				wantNotOK(t, dir, fmt.Sprintf("%s byte %d: %q became %q", filepath.Base(path), at, text[at], b))
			}
			writeAt(t, f, at, text[at])
		}
		mustVerify(t, dir) // or the loop proved nothing
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// substitutes returns what b is replaced by: each bit flipped, and the bytes
// that mean something to a reader.
func substitutes(b byte) []byte {
	var all []byte
	for bit := range 8 {
		all = append(all, b^1<<bit)
	}
	all = append(all, "\n\x00 \t\r\"{}0"...)
	return slices.DeleteFunc(all, func(s byte) bool { return s == b })
}

func writeAt(t testing.TB, f *os.File, at int, b byte) {
	t.Helper()
	if _, err := f.WriteAt([]byte{b}, int64(at)); err != nil {
		t.Fatal(err)
	}
}

func wantNotOK(t testing.TB, dir, what string) {
	t.Helper()
	report, err := audit.Verify(dir, testPublic())
	if err != nil {
		t.Fatal(err)
	}
	if report.OK || report.FirstBad == nil {
		t.Fatalf("%s: got log ok", what)
	}
}

// rewrite splits segment n into lines, with their newlines, and joins what
// edit makes of them.
func rewrite(t testing.TB, dir string, n int, edit func([][]byte) [][]byte) {
	t.Helper()
	all := bytes.SplitAfter(readFile(t, segmentPath(dir, n)), []byte("\n"))
	writeFile(t, segmentPath(dir, n), bytes.Join(edit(all[:len(all)-1]), nil))
}

func TestVerifySeesTampering(t *testing.T) {
	for name, row := range map[string]struct {
		tamper func(t *testing.T, dir string)
		why    string
	}{
		"record removed": {func(t *testing.T, dir string) {
			rewrite(t, dir, 1, func(l [][]byte) [][]byte { return slices.Delete(l, 1, 2) })
		}, "00000001.log:2: got prev"},
		"first record removed": {func(t *testing.T, dir string) {
			rewrite(t, dir, 1, func(l [][]byte) [][]byte { return l[1:] })
		}, "00000001.log:1: got prev"},
		"records swapped": {func(t *testing.T, dir string) {
			rewrite(t, dir, 1, func(l [][]byte) [][]byte { l[0], l[1] = l[1], l[0]; return l })
		}, "00000001.log:1: got prev"},
		"record repeated": {func(t *testing.T, dir string) {
			rewrite(t, dir, 1, func(l [][]byte) [][]byte { return slices.Insert(l, 1, l[0]) })
		}, "00000001.log:2: got prev"},
		"seq repeated, chained": {func(t *testing.T, dir string) {
			rewrite(t, dir, 1, func(l [][]byte) [][]byte { return [][]byte{l[0], follow(l[0], `"seq":1,"time":"x","kind":"admin"}`)} })
			removeAfter(t, dir, 1)
		}, "00000001.log:2: got seq 1, want 2"},
		"seq skipped, chained": {func(t *testing.T, dir string) {
			rewrite(t, dir, 1, func(l [][]byte) [][]byte { return [][]byte{l[0], follow(l[0], `"seq":3,"time":"x","kind":"admin"}`)} })
			removeAfter(t, dir, 1)
		}, "got seq 3, want 2"},
		"not JSON, chained": {func(t *testing.T, dir string) {
			rewrite(t, dir, 1, func(l [][]byte) [][]byte { return [][]byte{l[0], follow(l[0], `"seq":2,"time":"x","kind":"admin"`)} })
			removeAfter(t, dir, 1)
		}, "not JSON"},
		"empty line": {func(t *testing.T, dir string) {
			rewrite(t, dir, 1, func(l [][]byte) [][]byte { return slices.Insert(l, 1, []byte("\n")) })
		}, "00000001.log:2: got \"\""},
		"first segment removed":  {func(t *testing.T, dir string) { remove(t, segmentPath(dir, 1)) }, "00000001.log:0: segment is missing"},
		"middle segment removed": {func(t *testing.T, dir string) { remove(t, segmentPath(dir, 2)) }, "00000002.log:0: segment is missing"},
		"middle removed, renumbered": {func(t *testing.T, dir string) {
			for n := 2; n < len(segments(t, dir))+1; n++ {
				if err := os.Rename(segmentPath(dir, n+1), segmentPath(dir, n)); err != nil && !os.IsNotExist(err) {
					t.Fatal(err)
				}
			}
		}, "00000002.log:1: got prev"},
		"all segments removed": {func(t *testing.T, dir string) {
			for _, path := range segments(t, dir) {
				remove(t, path)
			}
		}, "got no segment"},
		"middle segment cut to nothing": {func(t *testing.T, dir string) { writeFile(t, segmentPath(dir, 2), nil) }, "00000003.log:1: got prev"},
		"middle segment's end cut": {func(t *testing.T, dir string) {
			rewrite(t, dir, 2, func(l [][]byte) [][]byte { return l[:len(l)-1] })
		}, "does not end with a checkpoint"},
		"middle segment torn": {func(t *testing.T, dir string) {
			text := readFile(t, segmentPath(dir, 2))
			writeFile(t, segmentPath(dir, 2), text[:len(text)-4])
		}, "a line without its end"},
		"line too long": {func(t *testing.T, dir string) {
			rewrite(t, dir, 1, func(l [][]byte) [][]byte { return slices.Insert(l, 1, append(bytes.Repeat([]byte("x"), 5<<20), '\n')) })
		}, "00000001.log:2: got a line longer than"},
		"garbage at the end": {func(t *testing.T, dir string) {
			path := segments(t, dir)[len(segments(t, dir))-1]
			writeFile(t, path, append(readFile(t, path), "garbage"...))
		}, "not the start of the next one"},
		"checkpoint of another key": {func(t *testing.T, dir string) {
			rewrite(t, dir, 1, func(l [][]byte) [][]byte {
				return [][]byte{l[0], checkpoint(l[0], otherKey(), audit.CheckpointDomain, 1)}
			})
			removeAfter(t, dir, 1)
		}, "signature is not by key"},
		"checkpoint of another domain": {func(t *testing.T, dir string) {
			rewrite(t, dir, 1, func(l [][]byte) [][]byte { return [][]byte{l[0], checkpoint(l[0], testKey(), "another domain\n", 1)} })
			removeAfter(t, dir, 1)
		}, "signature is not by key"},
		"checkpoint of another seq": {func(t *testing.T, dir string) {
			rewrite(t, dir, 1, func(l [][]byte) [][]byte {
				return [][]byte{l[0], checkpoint(l[0], testKey(), audit.CheckpointDomain, 2)}
			})
			removeAfter(t, dir, 1)
		}, "checkpoint of seq 2, want 1"},
		"checkpoint with room": {func(t *testing.T, dir string) {
			rewrite(t, dir, 1, func(l [][]byte) [][]byte {
				line := checkpoint(l[0], testKey(), audit.CheckpointDomain, 1)
				return [][]byte{l[0], bytes.Replace(line, []byte(`"sig":`), []byte(`"sig": `), 1)}
			})
			removeAfter(t, dir, 1)
		}, "not in the one form"},
		"neither record nor checkpoint": {func(t *testing.T, dir string) {
			rewrite(t, dir, 1, func(l [][]byte) [][]byte { return [][]byte{l[0], follow(l[0], `"note":1}`)} })
			removeAfter(t, dir, 1)
		}, "neither"},
		"all rewritten without checkpoints": {func(t *testing.T, dir string) {
			rewrite(t, dir, 1, func([][]byte) [][]byte { return unsignedLog(audit.MaxUnsigned + 1) })
			removeAfter(t, dir, 1)
		}, "checkpoints were removed"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := smallLog(t, 6, 300)
			if n := len(segments(t, dir)); n < 3 {
				t.Fatalf("got %d segments, want 3 or more", n)
			}
			mustVerify(t, dir)
			row.tamper(t, dir)
			wantBad(t, dir, row.why)
		})
	}
}

func TestVerifyAllowsTheFullUnsignedTail(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, segmentPath(dir, 1), bytes.Join(unsignedLog(audit.MaxUnsigned), nil))
	if report := mustVerify(t, dir); report.Unsigned != audit.MaxUnsigned {
		t.Fatalf("got %d unsigned records, want %d", report.Unsigned, audit.MaxUnsigned)
	}
}

// follow returns a line, chained to the line before, with the given members.
func follow(before []byte, members string) []byte {
	prev := strings.Repeat("0", 64)
	if before != nil {
		sum := sha256.Sum256(bytes.TrimSuffix(before, []byte("\n")))
		prev = hex.EncodeToString(sum[:])
	}
	return []byte(`{"prev":"` + prev + `",` + members + "\n")
}

func checkpoint(before []byte, key ed25519.PrivateKey, domain string, seq int) []byte {
	sum := sha256.Sum256(bytes.TrimSuffix(before, []byte("\n")))
	const at = "2026-01-02T03:04:05Z"
	message := fmt.Sprintf("%s%d\n%s\n%x\n", domain, seq, at, sum)
	sig := base64.StdEncoding.EncodeToString(ed25519.Sign(key, []byte(message)))
	return follow(before, fmt.Sprintf(`"checkpoint":{"seq":%d,"time":"%s","head":"%x"},"sig":"%s"}`, seq, at, sum, sig))
}

func unsignedLog(n int) [][]byte {
	var all [][]byte
	var last []byte
	for i := range n {
		last = follow(last, fmt.Sprintf(`"seq":%d,"time":"2026-01-02T03:04:05Z","kind":"admin"}`, i+1))
		all = append(all, last)
	}
	return all
}

// The helper that forges checkpoints makes good ones when given the key.
func TestVerifyAcceptsAnIndependentlyMadeCheckpoint(t *testing.T) {
	dir := t.TempDir()
	l := unsignedLog(1)
	writeFile(t, segmentPath(dir, 1), append(l[0], checkpoint(l[0], testKey(), audit.CheckpointDomain, 1)...))
	if report := mustVerify(t, dir); report.Checkpoints != 1 || report.Unsigned != 0 {
		t.Fatalf("got %+v, want one checkpoint", report)
	}
}

func remove(t testing.TB, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func removeAfter(t testing.TB, dir string, n int) {
	t.Helper()
	for _, path := range segments(t, dir)[n:] {
		remove(t, path)
	}
}

// What the files alone cannot tell, a kept checkpoint does.
func TestVerifyAgainstKeptCheckpoint(t *testing.T) {
	dir := smallLog(t, 6, 300)
	head := mustVerify(t, dir).Head
	grown := mustOpen(t, audit.Options{Directory: dir, SegmentSize: 300})
	mustAppend(t, grown, decision(1))
	mustClose(t, grown)
	pin := audit.VerifyOptions{Public: testPublic(), Head: head}
	if report, err := audit.VerifyWith(dir, pin); err != nil || !report.OK {
		t.Fatalf("got %+v and %v for a log that grew", report, err)
	}
	removeAfter(t, dir, 2)
	mustVerify(t, dir)
	report, err := audit.VerifyWith(dir, pin)
	if err != nil || report.OK || !strings.Contains(report.FirstBad.Why, "kept checkpoint of seq 6") {
		t.Fatalf("got %+v and %v for a log cut back behind the kept checkpoint", report, err)
	}
	forged := *head
	forged.Seq++
	if _, err := audit.VerifyWith(dir, audit.VerifyOptions{Public: testPublic(), Head: &forged}); err == nil {
		t.Fatal("got nil for a kept checkpoint that is not signed")
	}
}

func TestVerifySinceAnArchivedCheckpoint(t *testing.T) {
	dir := smallLog(t, 6, 300)
	archived := copyLog(t, dir)
	removeAfter(t, archived, 2)
	since := mustVerify(t, archived).Head
	remove(t, segmentPath(dir, 1))
	remove(t, segmentPath(dir, 2))
	wantBad(t, dir, "segment is missing")
	options := audit.VerifyOptions{Public: testPublic(), Since: since}
	report, err := audit.VerifyWith(dir, options)
	if err != nil || !report.OK || report.Records+since.Seq != 6 {
		t.Fatalf("got %+v and %v, want the records after %d", report, err, since.Seq)
	}
	remove(t, segmentPath(dir, 3))
	if report, err = audit.VerifyWith(dir, options); err != nil || report.OK {
		t.Fatalf("got %+v and %v for a log that does not start at the archived checkpoint", report, err)
	}
}

func TestVerifySaysWhoseKey(t *testing.T) {
	dir := smallLog(t, 1, 0)
	own, err := audit.Verify(dir, nil)
	if err != nil || !own.OK || own.KeyFrom != "log.pub" || own.Key != audit.Fingerprint(testPublic()) {
		t.Fatalf("got %+v and %v, want log.pub's key", own, err)
	}
	if given := mustVerify(t, dir); given.KeyFrom != "given" {
		t.Fatalf("got key from %q, want given", given.KeyFrom)
	}
	report, err := audit.Verify(dir, otherKey().Public().(ed25519.PublicKey))
	if err != nil || report.OK {
		t.Fatalf("got %+v and %v for another key", report, err)
	}
	for _, public := range []ed25519.PublicKey{{}, make(ed25519.PublicKey, 5)} {
		if report, err := audit.Verify(dir, public); err == nil || report != (audit.Report{}) {
			t.Fatalf("got %+v and %v for a key of %d bytes", report, err, len(public))
		}
	}
}

func TestReportJSON(t *testing.T) {
	dir := smallLog(t, 2, 0)
	text, err := json.Marshal(mustVerify(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if got["ok"] != true || got["records"] != 2.0 || got["first_bad"] != nil || got["unsigned_tail"] != 0.0 || got["torn_tail"] != 0.0 {
		t.Fatalf("got %s", text)
	}
	var report audit.Report
	if err := json.Unmarshal(text, &report); err != nil {
		t.Fatal(err)
	}
	if again, err := audit.VerifyWith(dir, audit.VerifyOptions{Public: testPublic(), Head: report.Head}); err != nil || !again.OK {
		t.Fatalf("got %+v and %v for a head kept as JSON", again, err)
	}
}

func TestVerifyRefusesWhatIsNoFile(t *testing.T) {
	dir := smallLog(t, 1, 0)
	target := filepath.Join(t.TempDir(), "elsewhere")
	if err := os.Rename(segmentPath(dir, 1), target); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, segmentPath(dir, 1)); err != nil {
		t.Fatal(err)
	}
	if report, err := audit.Verify(dir, testPublic()); err == nil || report != (audit.Report{}) {
		t.Fatalf("got %+v and %v for a symbolic link", report, err)
	}
	if report, err := audit.Verify(filepath.Join(dir, "none"), testPublic()); err == nil || report != (audit.Report{}) {
		t.Fatalf("got %+v and %v for no directory", report, err)
	}
}

// addSeeds gives the fuzzer a good log and logs that are nearly one.
func addSeeds(f *testing.F) {
	f.Helper()
	good := readFile(f, segmentPath(smallLog(f, 2, 0), 1))
	zeros := `{"prev":"` + strings.Repeat("0", 64) + `",`
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add(append(good[:len(good):len(good)], 0, 0))
	f.Add([]byte(zeros + `"seq":1,"time":"x"}` + "\n"))
	f.Add([]byte(zeros + `"checkpoint":{"seq":0,"time":"2026-01-01T00:00:00Z"},"sig":""}` + "\n"))
	f.Add([]byte(zeros + `"seq":` + "\n"))
	f.Add([]byte(strings.Repeat("[", 20000) + "\n"))
	f.Add([]byte("\n\x00"))
	f.Add([]byte{})
}

// FuzzVerify gives arbitrary bytes to all that reads a log: none may panic.
func FuzzVerify(f *testing.F) {
	addSeeds(f)
	work := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		writeFile(t, segmentPath(work, 1), text)
		report, err := audit.Verify(work, testPublic())
		if err != nil {
			t.Fatal(err)
		}
		if report.OK != (report.FirstBad == nil) {
			t.Fatalf("got %+v", report)
		}
		for rec, err := range audit.Query(work, audit.Filter{}) {
			if (err == nil) == (rec.Seq == 0) {
				t.Fatalf("got %+v and %v", rec, err)
			}
		}
	})
}

// FuzzOpen checks that exactly the logs that verify are continued, and that
// what comes of it verifies.
func FuzzOpen(f *testing.F) {
	addSeeds(f)
	work := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		writeFile(t, segmentPath(work, 1), text)
		report, err := audit.Verify(work, testPublic())
		if err != nil {
			t.Fatal(err)
		}
		l, err := audit.Open(audit.Options{Directory: work, SigningKey: testKey()})
		if (err == nil) != report.OK {
			t.Fatalf("got %v from Open and %+v from Verify", err, report)
		}
		if err != nil {
			return
		}
		mustAppend(t, l, decision(1))
		mustClose(t, l)
		mustVerify(t, work)
	})
}
