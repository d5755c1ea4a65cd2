package audit

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"mintmark/internal/filekind"
)

// The names in a log's directory.
const (
	lockName      = "lock"
	publicName    = "log.pub"
	segmentSuffix = ".log"
)

// file is a segment as the writer uses it. It has *os.File's methods, five of
// them, because each is a way for a disk to fail that the tests must bring
// about.
type file interface { //nolint:interfacebloat // the five calls of os.File that a test must be able to fail
	io.ReaderAt
	io.WriterAt
	Sync() error
	Truncate(size int64) error
	Close() error
}

func segmentName(number int) string { return fmt.Sprintf("%08d%s", number, segmentSuffix) }

// segmentNumber returns 0 for a name that is no segment's.
func segmentNumber(name string) int {
	n, err := strconv.Atoi(strings.TrimSuffix(name, segmentSuffix))
	if err != nil || n < 1 || segmentName(n) != name {
		return 0
	}
	return n
}

// Segments returns how many segments of a log are in dir. None is no log, or one
// of which all was removed: whoever reads it has nothing to go by.
func Segments(dir string) (int, error) {
	numbers, err := listSegments(dir)
	return len(numbers), err
}

// listSegments returns the numbers of dir's segments in order.
func listSegments(dir string) ([]int, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list segments: %w", err)
	}
	var numbers []int
	for _, e := range entries {
		if n := segmentNumber(e.Name()); n > 0 {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// openRegular opens a regular file, never through a symbolic link. O_NONBLOCK
// keeps a FIFO in its place from blocking the open.
func openRegular(path string, flag int) (*os.File, error) {
	f, err := os.OpenFile(path, flag|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
	if errors.Is(err, syscall.ELOOP) {
		return nil, fmt.Errorf("open %s: got a symbolic link, want a regular file", path)
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("open %s: got %s, want a regular file", path, filekind.Name(info.Mode()))
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// openSegment is openRegular for the writer; it never returns a typed nil.
func openSegment(path string, flag int) (file, error) {
	f, err := openRegular(path, flag)
	if err != nil {
		return nil, err
	}
	return named{f}, nil
}

// prepareDirectory makes dir where there is none, and refuses one in which
// others could put files of their own.
func prepareDirectory(dir string) error {
	if err := MakeDirectory(dir); err != nil {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("inspect log directory: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("open log directory %s: got %s, want a directory; name the directory itself", dir, filekind.Name(info.Mode()))
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return fmt.Errorf("open log directory %s: got mode %#o, want one that only its owner can write to: chmod 700 it", dir, mode)
	}
	return nil
}

// ErrInUse is wrapped by Open where another process, or this one, has the log open.
var ErrInUse = errors.New("it is open already")

// lockDirectory takes dir for this process until the file is closed.
func lockDirectory(dir string) (*os.File, error) {
	f, err := openRegular(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, fmt.Errorf("open lock file: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return f, nil
	}
	_ = f.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("lock log %s: %w, most likely in another mintmark serving from the same directory: stop that one, or give this one a directory of its own", dir, ErrInUse)
	}
	return nil, fmt.Errorf("lock log %s: %w", dir, err)
}

func syncDirectory(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("open directory to sync it: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

var errLongLine = fmt.Errorf("got a line longer than %d bytes", maxLine)

// lines reads a segment line by line in bounded memory.
type lines struct {
	r    *bufio.Reader
	long []byte // a line that does not fit r's buffer
	line int    // number of the line that next returned, from 1
	size int64  // bytes of all whole lines
}

func newLines(r io.Reader) *lines {
	return &lines{r: bufio.NewReaderSize(r, 64<<10)}
}

// next returns the next line without its newline, valid until the next call.
// At the end it returns io.EOF and the bytes after the last newline. After
// errLongLine it goes on with the line that follows.
func (l *lines) next() ([]byte, error) {
	l.line++
	part, err := l.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		part, err = l.readLong(part)
	}
	if err != nil {
		return part, err
	}
	l.size += int64(len(part))
	return part[:len(part)-1], nil
}

func (l *lines) readLong(part []byte) ([]byte, error) {
	l.long = append(l.long[:0], part...)
	for {
		part, err := l.r.ReadSlice('\n')
		if len(l.long) <= maxLine {
			l.long = append(l.long, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case len(l.long) > maxLine && (err == nil || errors.Is(err, io.EOF)):
			return nil, errLongLine
		}
		return l.long, err
	}
}
