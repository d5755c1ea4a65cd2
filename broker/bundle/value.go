package bundle

import (
	"encoding"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // clocks mean the same on a machine without zoneinfo
)

// refusal is what UnmarshalText says of a text it refuses. The decoder adds
// what it got, unless got says that in words that do not repeat it.
type refusal struct{ want, got string }

func (r refusal) Error() string {
	if r.got == "" {
		return "expected " + r.want
	}
	return fmt.Sprintf("expected %s, got %s", r.want, r.got)
}

// UnmarshalText reads "1h30m". Zero and negative durations are refused: what
// is not wanted is left out.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil || v <= 0 {
		return refusal{want: `a duration such as "1h30m"`}
	}
	d.Duration = v
	return nil
}

// MarshalText returns the duration as UnmarshalText reads it.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads "2026-05-01".
func (d *Date) UnmarshalText(text []byte) error {
	v, err := time.Parse(time.DateOnly, string(text))
	if err != nil {
		return refusal{want: `a date such as "2026-05-01"`}
	}
	d.Time = v
	return nil
}

// String returns the date as UnmarshalText reads it, or "".
func (d Date) String() string {
	if d.IsZero() {
		return ""
	}
	return d.Format(time.DateOnly)
}

// MarshalText returns the date as UnmarshalText reads it.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads "4MiB", "64KiB", "1GiB" or "512" (bytes).
func (s *Size) UnmarshalText(text []byte) error {
	want := refusal{want: `a size such as "4MiB", "64KiB" or "512"`}
	digits, unit := string(text), int64(1)
	for _, u := range sizeUnits() {
		if rest, ok := strings.CutSuffix(digits, u.suffix); ok {
			digits, unit = rest, u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n <= 0 || n > math.MaxInt64/unit || !isDigit(rune(digits[0])) {
		return want
	}
	*s = Size(n * unit)
	return nil
}

// String returns the size in its largest whole unit.
func (s Size) String() string {
	for _, u := range sizeUnits() {
		if s != 0 && int64(s)%u.bytes == 0 {
			return strconv.FormatInt(int64(s)/u.bytes, 10) + u.suffix
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// MarshalText returns the size as UnmarshalText reads it.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

type sizeUnit struct {
	suffix string
	bytes  int64
}

func sizeUnits() [3]sizeUnit {
	return [...]sizeUnit{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}
}

// UnmarshalText reads a file name. It stays as written until the bundle is
// loaded, which makes it absolute.
func (p *Path) UnmarshalText(text []byte) error {
	if len(text) == 0 || strings.ContainsRune(string(text), 0) {
		return refusal{want: "a file name"}
	}
	*p = Path(text)
	return nil
}

// String returns the file name.
func (p Path) String() string { return string(p) }

// Read returns the content of a file that the broker's trust hangs on: a
// regular one of at most limit bytes, which nobody but its owner can write. It
// may be readable by others, as files mounted by an orchestrator are: who may
// read it is for the operator to say. No error repeats what was read.
func (p Path) Read(limit int64) ([]byte, error) {
	return p.readHeld(limit, 0o022, "that its owner alone can write: chmod go-w")
}

// ReadShared is Read of a file that its group may write too: who is in it is for
// the operator to say, and with many systems' umask every file is so.
func (p Path) ReadShared(limit int64) ([]byte, error) {
	return p.readHeld(limit, 0o002, "that others cannot write: chmod o-w")
}

// readHeld is Read of a file that those of the given permission bits can't write,
// as want says.
func (p Path) readHeld(limit int64, others fs.FileMode, want string) ([]byte, error) {
	f, info, err := openRegular(string(p))
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // read only: nothing to lose
	if mode := info.Mode().Perm(); mode&others != 0 {
		return nil, fmt.Errorf("read %s: got mode %#o, want a file %s", p, mode, want)
	}
	return readAtMost(f, string(p), limit)
}

func (p *Path) rebase(dir string) { *p = Path(absolute(dir, string(*p))) }

// UnmarshalText reads a file name, or "off".
func (e *Escrow) UnmarshalText(text []byte) error {
	if (*Path)(e).UnmarshalText(text) != nil {
		return refusal{want: `a directory, or "off"`}
	}
	return nil
}

func (e *Escrow) rebase(dir string) {
	if *e != NoEscrow {
		(*Path)(e).rebase(dir)
	}
}

// rebaser is a value that names a file relative to the bundle's directory.
type rebaser interface{ rebase(dir string) }

func absolute(dir, name string) string {
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	return filepath.Join(dir, name)
}

// UnmarshalText reads an absolute http or https URL. User info and query are
// refused because that is where secrets hide, and its path is a PlainPath.
func (u *URL) UnmarshalText(text []byte) error {
	refuse := func(got string) error {
		return refusal{want: `an absolute URL such as "https://host/path"`, got: got}
	}
	parsed, err := url.Parse(string(text))
	switch {
	case err != nil:
		return refuse("one that does not parse")
	case parsed.Scheme != "https" && parsed.Scheme != "http", parsed.Opaque != "", parsed.Hostname() == "":
		return refuse("")
	case parsed.User != nil:
		return refuse("one with user info")
	case parsed.RawQuery != "" || parsed.ForceQuery:
		return refuse("one with a query")
	case strings.Contains(string(text), "#"):
		return refuse("one with a fragment")
	case !validPort(parsed):
		return refuse("one with a port that is not between 1 and 65535")
	}
	if parsed.Path != "" {
		if err := PlainPath(parsed.Path, parsed.EscapedPath()); err != nil {
			return err
		}
	}
	u.URL = parsed
	return nil
}

func validPort(u *url.URL) bool {
	if u.Port() == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && n > 0
}

// String returns the URL, or "".
func (u URL) String() string {
	if u.URL == nil {
		return ""
	}
	return u.URL.String()
}

// MarshalText returns the URL as UnmarshalText reads it.
func (u URL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// Loopback reports whether the URL's host is this machine by its very name.
func (u URL) Loopback() bool { return u.URL != nil && loopback(u.Hostname()) }

// loopback reports whether host is "localhost" or a loopback address. No name
// is resolved: what a resolver says today it may not say tomorrow.
func loopback(host string) bool {
	if strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// UnmarshalText reads an IANA zone name: "Europe/Berlin". "Local" is refused:
// a policy must not mean something else on another machine.
func (z *Zone) UnmarshalText(text []byte) error {
	want := refusal{want: `an IANA time zone such as "Europe/Berlin"`}
	if name := string(text); name == "" || name == "Local" {
		return want
	}
	l, err := time.LoadLocation(string(text))
	if err != nil {
		if near := DidYouMean(string(text), strings.Fields(zones)); near != "" {
			want.got = strconv.Quote(string(text)) + near
		}
		return want
	}
	z.Location = l
	return nil
}

// String returns the zone's name, or "".
func (z Zone) String() string {
	if z.Location == nil {
		return ""
	}
	return z.Location.String()
}

// MarshalText returns the zone's name as UnmarshalText reads it.
func (z Zone) MarshalText() ([]byte, error) { return []byte(z.String()), nil }

// unmarshal hands text to u and returns what it wants instead, and what it got
// where u says that itself.
func unmarshal(u encoding.TextUnmarshaler, text string) (want, got string, ok bool) {
	err := u.UnmarshalText([]byte(text))
	if err == nil {
		return "", "", true
	}
	if r, is := errors.AsType[refusal](err); is {
		return r.want, r.got, false
	}
	return "a valid value (" + err.Error() + ")", "", false
}
