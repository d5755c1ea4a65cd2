package audit

import (
	"errors"
	"io"
	"iter"
	"os"
	"path/filepath"
	"time"
)

// Recent yields what Query does, of the last part of the log alone: the records
// of the given time before the newest one. However large the log is, it reads
// the segments of that time and one line of each segment before. It may be asked
// while nobody writes. A directory that is not there has no records. With a Kind
// in f it does not look at other lines, so that it says nothing of damage to them.
func Recent(dir string, within time.Duration, f Filter) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		segments, err := listSegments(dir)
		if errors.Is(err, os.ErrNotExist) {
			return
		}
		if err == nil {
			f.Since, f.skims = newestTime(dir, segments).Add(-within), f.Kind != ""
			segments, err = sinceThen(dir, segments, f.Since)
		}
		if err != nil {
			yield(Record{}, err)
			return
		}
		querySegments(dir, segments, &f, yield)
	}
}

// newestTime returns the time of the log's last record that can be read, or zero.
func newestTime(dir string, segments []int) (newest time.Time) {
	for i := len(segments) - 1; i >= 0 && newest.IsZero(); i-- {
		for r, err := range readSegment(dir, segments[i]) {
			if err == nil {
				newest = r.Time
			}
		}
	}
	return newest
}

// sinceThen returns the segments that hold records from since on: all but those
// that are followed by one that began before.
func sinceThen(dir string, segments []int, since time.Time) ([]int, error) {
	first := len(segments) - 1
	for ; first > 0; first-- {
		began, err := firstTime(dir, segments[first])
		if err != nil {
			return nil, err
		}
		if !began.IsZero() && began.Before(since) {
			break
		}
	}
	return segments[max(first, 0):], nil
}

// firstTime returns the time of the first record in a segment, or zero.
func firstTime(dir string, number int) (time.Time, error) {
	for r, err := range readSegment(dir, number) {
		return r.Time, err
	}
	return time.Time{}, nil
}

// readSegment yields every record of one segment that can be read.
func readSegment(dir string, number int) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		file, err := openRegular(filepath.Join(dir, segmentName(number)), os.O_RDONLY)
		if err != nil {
			yield(Record{}, err)
			return
		}
		defer file.Close()
		lines := newLines(file)
		for {
			line, err := lines.next()
			if errors.Is(err, io.EOF) {
				return
			}
			if errors.Is(err, errLongLine) {
				continue
			}
			if err != nil {
				yield(Record{}, err)
				return
			}
			if r, ok, err := readRecord(line, &Filter{}); err == nil && ok && !yield(r, nil) {
				return
			}
		}
	}
}
