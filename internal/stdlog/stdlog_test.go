package stdlog_test

import (
	"bytes"
	"log"
	"log/slog"
	"strings"
	"testing"

	"mintmark/internal/stdlog"
)

func TestWhatLibrariesPrintIsNotShown(t *testing.T) {
	var out, before bytes.Buffer
	std := log.Default()
	was := std.Writer()
	defer std.SetOutput(was)
	std.SetOutput(&before)
	restore := stdlog.Hush(slog.New(slog.NewJSONHandler(&out, nil)))
	std.Printf("Unsolicited response received on idle HTTP channel starting with %q", "Bearer canary-5f1c2d")
	if got := out.String(); strings.Contains(got, "canary") || !strings.Contains(got, `"bytes":`) || before.Len() > 0 {
		t.Errorf("got %q and %q, want that something was printed and not what", got, before.String())
	}
	restore()
	std.Print("again")
	if !strings.Contains(before.String(), "again") {
		t.Errorf("after restore: got %q", before.String())
	}
}
