//go:build e2e

package mcp_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestForeignReadersAgree holds the readings of a large set of bodies against
// those of Node's JSON.parse and Python's json, and of the readers in Go beside
// them.
func TestForeignReadersAgree(t *testing.T) {
	holdCorpus(t, 10_000, append(foreignReaders(t), goReaders()...)...)
}

// FuzzReadAgainstForeign looks for a message that is judged as one call and
// read by a server in JavaScript or Python as another.
func FuzzReadAgainstForeign(f *testing.F) { fuzzAgainst(f, foreignReaders(f)...) }

func foreignReaders(t testing.TB) []reader {
	t.Helper()
	return []reader{
		start(t, "Node's JSON.parse", "node", filepath.Join("testdata", "read.js")),
		start(t, "Python's json", "python3", "-I", filepath.Join("testdata", "read.py")),
	}
}

var errRefused = errors.New("refused")

// start starts a program that reads bodies until the test ends.
func start(t testing.TB, name, program string, args ...string) reader {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("find %s, which make test has installed: %v", program, err)
	}
	cmd := exec.Command(path, args...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("end %s: %v", name, err)
		}
	})
	lines := bufio.NewReader(out)
	return reader{name, func(body []byte) ([]reading, error) { return ask(in, lines, body) }}
}

func ask(in io.Writer, lines *bufio.Reader, body []byte) ([]reading, error) {
	if _, err := fmt.Fprintln(in, base64.StdEncoding.EncodeToString(body)); err != nil {
		panic(fmt.Sprintf("write to a reader: %v", err))
	}
	line, err := lines.ReadBytes('\n')
	if err != nil {
		panic(fmt.Sprintf("read from a reader: %v", err))
	}
	var said struct {
		Messages []reading
		Refused  bool
	}
	if err := json.Unmarshal(line, &said); err != nil {
		panic(fmt.Sprintf("read from a reader: %v in %.200s", err, line))
	}
	if said.Refused {
		return nil, errRefused
	}
	return said.Messages, nil
}
