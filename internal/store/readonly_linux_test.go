package store_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vicr-cli/vicr/internal/store"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// asReader has the rest of the test look at dir with the rights of somebody who may
// read it and not write. It is one thread that has them: no goroutine of the test's.
func asReader(t *testing.T, dir string) {
	t.Helper()
	const nobody = 65534
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir():
			return os.Chmod(path, 0o555) //nolint:gosec // others read there
		}
		return os.Chmod(path, 0o444) //nolint:gosec // as above
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, _ error) error {
			if e.IsDir() {
				return os.Chmod(path, 0o755) //nolint:gosec // to be removed
			}
			return nil
		})
	})
	if os.Geteuid() != 0 {
		return
	}
	for up := filepath.Dir(dir); up != os.TempDir() && up != "/"; up = filepath.Dir(up) {
		if err := os.Chmod(up, 0o755); err != nil { //nolint:gosec // for nobody to get there
			t.Fatal(err)
		}
	}
	runtime.LockOSThread() // for good: with the test's end the thread ends
	if err := unix.Setfsuid(nobody); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Setfsuid(0); err != nil {
			t.Error(err)
		}
	})
}

// In a store that others fill one may look, and what is there is there.
func TestAStoreOfSomebodyElse(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "store")
	s := store.Open(dir)
	c := transfertest.Content{}
	layer := c.Layer(transfertest.Bytes(1, 5000))
	root := c.Image(transfertest.Amd64(), layer)
	src := &transfertest.Source{Root: root, Content: c}
	moved, err := transfer.Copy(t.Context(), src, s.Sink("a"), transfer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	root = moved.Root
	filling := s.Sink("b")
	stray := c.Layer([]byte("nobody's"))
	_, err = filling.PutBlob(t.Context(), stray, func(context.Context, int64) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(c[stray.Digest])), nil
	})
	if err := errors.Join(err, filling.Close()); err != nil {
		t.Fatal(err)
	}
	asReader(t, dir)

	never := func(context.Context, int64) (io.ReadCloser, error) { return nil, errors.New("it was asked for") }
	sink := s.Sink("a")
	if n, err := sink.PutBlob(t.Context(), layer, never); n != 0 || err != nil {
		t.Errorf("a blob that is there: %d, %v", n, err)
	}
	if err := sink.Commit(t.Context(), root, c[root.Digest]); err != nil {
		t.Errorf("an image that is there: %v", err)
	}
	for what, put := range map[string]func(*store.Sink) error{
		"a blob": func(s *store.Sink) error {
			_, err := s.PutBlob(t.Context(), transfertest.Content{}.Layer([]byte("new")), never)
			return err
		},
		"a manifest": func(s *store.Sink) error {
			raw := []byte(`{"schemaVersion":2}`)
			return s.PutManifest(t.Context(), transfertest.Content{}.Add(root.MediaType, raw), raw)
		},
		"a name": func(s *store.Sink) error { return s.Commit(t.Context(), root, c[root.Digest]) },
	} {
		other := s.Sink("other")
		if err := put(other); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s: %v", what, err)
		}
		if err := other.Close(); err != nil {
			t.Error(err)
		}
	}
	if v, err := s.Verify(t.Context(), nil); err != nil || v.Images != 1 {
		t.Errorf("verify: %+v, %v", v, err)
	}
	if all, err := s.Collect(t.Context(), store.Collecting{Now: time.Now(), Dry: true}); err != nil || len(all) != 1 || all[0].Digest != stray.Digest {
		t.Errorf("what would be collected: %+v, %v", all, err)
	}
	if all, err := s.Collect(t.Context(), store.Collecting{Now: time.Now()}); !errors.Is(err, fs.ErrPermission) || len(all) != 0 {
		t.Errorf("collected: %+v, %v", all, err)
	}
}
