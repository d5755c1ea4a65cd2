package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Filter selects records: by each field that is not zero.
type Filter struct {
	Agent                string // that called, or that a posture record is about
	Upstream, Tool, Call string
	Credential           string // a lease's id, or PROVIDER/ID as it is shown; one without an id is of what has none
	Provider             string // registered name: outcomes have none
	Kind                 Kind
	Outcome              string    // "allow" or "deny": decisions only
	Step                 string    // the step that refused
	Since, Until         time.Time // from Since, up to but not at Until

	skims bool // lines that don't look like Kind are passed over, whatever is wrong with them
}

func (f *Filter) check() error {
	if f.Kind != "" && !f.Kind.Known() {
		return fmt.Errorf("query log: got kind %q, want decision, outcome, issuance, posture or admin", f.Kind)
	}
	if f.Outcome != "" && f.Outcome != "allow" && f.Outcome != "deny" {
		return fmt.Errorf("query log: got outcome %q, want allow or deny", f.Outcome)
	}
	return nil
}

func (f *Filter) matches(r *Record) bool {
	return accepts(f.Agent, r.About()) && accepts(f.Upstream, r.Upstream) && accepts(f.Tool, r.Tool) &&
		f.matchesCredential(r) && accepts(f.Provider, r.Provider) && accepts(f.Call, r.Call) &&
		accepts(f.Kind, r.Kind) && accepts(f.Step, r.Step) && f.matchesOutcome(r) &&
		!r.Time.Before(f.Since) && (f.Until.IsZero() || r.Time.Before(f.Until))
}

func accepts[T comparable](want, got T) bool {
	var zero T
	return want == zero || want == got
}

// matchesCredential takes the outcome of a call for one of the provider's too: it has the
// credential's id, and no provider.
func (f *Filter) matchesCredential(r *Record) bool {
	provider, id, both := strings.Cut(f.Credential, "/")
	if !both {
		return accepts(f.Credential, r.Credential)
	}
	return id == r.Credential && (provider == r.Provider || id != "" && r.Provider == "")
}

func (f *Filter) matchesOutcome(r *Record) bool {
	return f.Outcome == "" || r.Kind == Decision && r.Allow == (f.Outcome == "allow")
}

// Query yields the records of the log in dir that f selects, oldest first,
// reading as it goes. A line it cannot read yields an error that names the
// segment and line, and it goes on; a line cut short at the very end of a log
// that is being written is left out. Query does not verify.
func Query(dir string, f Filter) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		if err := f.check(); err != nil {
			yield(Record{}, err)
			return
		}
		segments, err := listSegments(dir)
		if err != nil {
			yield(Record{}, err)
			return
		}
		querySegments(dir, segments, &f, yield)
	}
}

func querySegments(dir string, segments []int, f *Filter, yield func(Record, error) bool) {
	for i, number := range segments {
		if !querySegment(dir, number, i == len(segments)-1, f, yield) {
			return
		}
	}
}

// querySegment returns false when yield wants no more.
func querySegment(dir string, number int, last bool, f *Filter, yield func(Record, error) bool) bool {
	name := segmentName(number)
	file, err := openRegular(filepath.Join(dir, name), os.O_RDONLY)
	if err != nil {
		return yield(Record{}, fmt.Errorf("open segment: %w", err))
	}
	defer file.Close()
	r := newLines(file)
	for {
		line, err := r.next()
		if errors.Is(err, io.EOF) {
			return last || len(line) == 0 || yield(Record{}, fmt.Errorf("read %s:%d: got a line without its end", name, r.line))
		}
		if err != nil && !errors.Is(err, errLongLine) {
			return yield(Record{}, fmt.Errorf("read %s: %w", name, err))
		}
		var rec Record
		var selected bool
		if err == nil {
			rec, selected, err = readRecord(line, f)
		}
		switch {
		case err != nil:
			if !yield(Record{}, fmt.Errorf("read %s:%d: %w", name, r.line, err)) {
				return false
			}
		case selected && !yield(rec, nil):
			return false
		}
	}
}

func readRecord(line []byte, f *Filter) (rec Record, selected bool, err error) {
	if isCheckpoint(line) || f.skims && !bytes.Contains(line, []byte(`"kind":"`+string(f.Kind)+`"`)) {
		return Record{}, false, nil
	}
	if err := unmarshal(line, &rec); err != nil {
		return Record{}, false, err
	}
	if rec.Seq == 0 || !rec.Kind.Known() {
		return Record{}, false, errors.New("got JSON that is no record")
	}
	if !f.matches(&rec) {
		return Record{}, false, nil
	}
	return rec, true, nil
}

func isCheckpoint(line []byte) bool {
	const start = len(lineStart) + 2*len(digest{}) + len(prevEnd)
	return len(line) > start && bytes.HasPrefix(line[start:], []byte(checkpointStart))
}

// unmarshal is json.Unmarshal with an error that does not repeat what a
// stranger put into the line.
func unmarshal(line []byte, v any) error {
	if err := json.Unmarshal(line, v); err != nil {
		return errors.New("got a line that is not JSON of the form of a record")
	}
	return nil
}
