package archive_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/archive"
	"github.com/vicr-cli/vicr/internal/atomicfile"
)

func namesIn(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// Whoever writes the next archive in a folder removes what killed runs left of others.
func TestPartsThatNobodyWritesAreRemoved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	old := time.Now().Add(-time.Hour)
	for _, name := range []string{".killed.tar.vicr-part", ".written.tar.vicr-part", "mine.vicr-part", ".mine"} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600))
		must(t, os.Chtimes(filepath.Join(dir, name), old, old))
	}
	must(t, os.WriteFile(filepath.Join(dir, ".young.tar.vicr-part"), nil, 0o600))
	written, err := atomicfile.OpenIngest(filepath.Join(dir, ".written.tar.vicr-part"))
	must(t, err)
	defer written.Keep() //nolint:errcheck // it is a test
	w, err := archive.Create(filepath.Join(dir, "a.tar"), 1, options(t, archive.OCI))
	must(t, err)
	must(t, w.Close())
	want := []string{".mine", ".written.tar.vicr-part", ".young.tar.vicr-part", "mine.vicr-part"}
	if left := namesIn(t, dir); !slices.Equal(left, want) {
		t.Errorf("left are %q", left)
	}
}

// A second writer hears at once that there is one, not when it has fetched all.
func TestOneArchiveHasOneWriter(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.tar")
	w, err := archive.Create(path, 1, options(t, archive.OCI))
	must(t, err)
	if _, err := archive.Create(path, 1, options(t, archive.OCI)); !errors.Is(err, atomicfile.ErrBusy) {
		t.Errorf("a second writer: %v", err)
	}
	put(t, w, "r.example/a:1", sample(1), 4)
	must(t, w.Close())
	w, err = archive.Create(path, 1, options(t, archive.OCI))
	must(t, err)
	must(t, w.Close())
	if left := namesIn(t, filepath.Dir(path)); !slices.Equal(left, []string{"a.tar"}) {
		t.Errorf("left are %q", left)
	}
}
