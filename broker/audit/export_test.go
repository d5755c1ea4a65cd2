package audit

import "time"

// What the tests reach that the package does not export.

type File = file

const (
	MaxField         = maxField
	MaxList          = maxList
	MaxUnsigned      = maxUnsigned
	CheckpointDomain = checkpointDomain
)

func OpenWith(o Options, openSegment func(string, int) (File, error)) (*Log, error) {
	return open(o, openSegment)
}

func OpenSegment(path string, flag int) (File, error) { return openSegment(path, flag) }

func AppendBody(b []byte, r *Record) []byte { return appendBody(b, r) }

// Due returns when the writer next has something to do by itself.
func (l *Log) Due() time.Time {
	l.writer.mu.Lock()
	defer l.writer.mu.Unlock()
	return l.writer.due()
}
