package store_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/vicr-cli/vicr/internal/store"
)

// What lies where a blob belongs and is no file is found and named, whatever it is
// and whether somebody needs it, with what has to be removed by hand.
func TestVerifyNamesWhatIsNoFile(t *testing.T) {
	t.Parallel()
	kinds := map[string]func(path string) error{
		"folder": func(path string) error { return os.Mkdir(path, 0o750) },
		"link":   func(path string) error { return os.Symlink("/dev/null", path) },
		"link to the right bytes": func(path string) error {
			elsewhere := filepath.Join(t.TempDir(), "elsewhere")
			return errors.Join(os.WriteFile(elsewhere, sample(1).Content[layerOf(sample(1)).Digest], 0o600), os.Symlink(elsewhere, path))
		},
	}
	src := sample(1)
	for name, lay := range kinds {
		for what, hex := range map[string]string{"layer": layerOf(src).Digest.Hex, "manifest": src.Root.Digest.Hex, "nobody's": zeros(64)} {
			t.Run(name+" for "+what, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				s := store.Open(dir)
				put(t, s, "a", src)
				path := filepath.Join(dir, "blobs", "sha256", hex)
				must(t, os.RemoveAll(path))
				must(t, lay(path))
				_, err := s.Verify(t.Context(), nil)
				bad, ok := errors.AsType[*store.DamagedError](err)
				if !ok || !slices.Equal(bad.NoFiles(), []string{path}) {
					t.Fatalf("got %v", err)
				}
				if needed := slices.Equal(bad.Images(), []string{"a"}); needed != (what != "nobody's") {
					t.Errorf("needed by %q", bad.Images())
				}
				must(t, os.RemoveAll(path)) // as is said
				put(t, s, "a", src)
				if _, err := s.Verify(t.Context(), nil); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestABlobDoesNotReplaceAFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	layer := layerOf(sample(1))
	path := filepath.Join(dir, "blobs", "sha256", layer.Digest.Hex)
	must(t, os.MkdirAll(path, 0o750))
	_, err := store.Open(dir).Sink("a").PutBlob(t.Context(), layer, func(context.Context, int64) (io.ReadCloser, error) {
		t.Error("it was fetched")
		return io.NopCloser(bytes.NewReader(nil)), nil
	})
	if bad, ok := errors.AsType[*store.DamagedError](err); !ok || !slices.Equal(bad.NoFiles(), []string{path}) {
		t.Errorf("got %v", err)
	}
}
