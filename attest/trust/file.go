package trust

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"mintmark/broker/bundle"
)

// maxBundleFile is the largest bundle file that is read.
const maxBundleFile = 1 << 20

// bundleFile is one followed file. Its whole content is compared, because a
// time of change can stand still and a notification can be lost.
type bundleFile struct {
	td      spiffeid.TrustDomain
	path    bundle.Path
	content []byte // last believed
	trouble string // last logged, "" when all is well
}

func (t *Trust) openFiles(files []bundle.TrustBundle) error {
	for _, f := range files {
		file := &bundleFile{td: f.TrustDomain, path: f.File}
		parsed, err := file.read()
		if err != nil {
			return err
		}
		if parsed.Empty() {
			return fmt.Errorf("read %s: got no authority of %s, want at least one", f.File, f.TrustDomain)
		}
		t.files = append(t.files, file)
		t.believe(file.td, parsed)
	}
	return nil
}

// read returns the file's bundle, or nil when it says what it said before.
func (f *bundleFile) read() (*spiffebundle.Bundle, error) {
	content, err := f.path.Read(maxBundleFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("expected the bundle of %s, as spire-server bundle show -format spiffe prints it: %w", f.td, err)
	}
	if err != nil {
		return nil, err
	}
	if f.content != nil && bytes.Equal(content, f.content) {
		return nil, nil
	}
	parsed, err := spiffebundle.Parse(f.td, content)
	if err != nil {
		return nil, fmt.Errorf("read %s: got no SPIFFE bundle (a JWK set, as spire-server bundle show -format spiffe prints it): %w", f.path, err)
	}
	f.content = content
	return parsed, nil
}

func (t *Trust) believe(td spiffeid.TrustDomain, b *spiffebundle.Bundle) {
	t.update(func(s *sources) {
		s.files = maps.Clone(s.files)
		if s.files == nil {
			s.files = map[spiffeid.TrustDomain]*spiffebundle.Bundle{}
		}
		s.files[td] = b
	})
}

// followFiles reads the files again and again until ctx ends.
func (t *Trust) followFiles(ctx context.Context) {
	if len(t.files) == 0 {
		return
	}
	ticker := time.NewTicker(t.options.Poll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			for _, f := range t.files {
				t.follow(ctx, f)
			}
		}
	}
}

// follow takes in what a file says now. A bad file changes nothing and is
// logged once. An empty bundle is obeyed: its owner ends all trust.
func (t *Trust) follow(ctx context.Context, f *bundleFile) {
	logger := t.options.Logger.With(slog.String("trust_domain", f.td.Name()), slog.String("file", f.path.String()))
	parsed, err := f.read()
	switch {
	case err != nil:
		if f.trouble != err.Error() {
			f.trouble = err.Error()
			logger.LogAttrs(ctx, slog.LevelError, "trust bundle file is bad: the last good one stays in force", slog.String("error", f.trouble))
		}
		return
	case parsed != nil:
		t.believe(f.td, parsed)
		logger.LogAttrs(ctx, slog.LevelInfo, "trust bundle changed",
			slog.Int("x509_authorities", len(parsed.X509Authorities())), slog.Int("jwt_authorities", len(parsed.JWTAuthorities())))
	case f.trouble != "":
		logger.LogAttrs(ctx, slog.LevelInfo, "trust bundle file is good again")
	}
	f.trouble = ""
}
