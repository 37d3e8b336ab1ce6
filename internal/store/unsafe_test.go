//go:build unix

package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/atomicfile"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

func tiny() *transfertest.Source {
	c := transfertest.Content{}
	return &transfertest.Source{Root: c.Image(transfertest.Amd64(), c.Layer([]byte("x"))), Content: c}
}

func TestRootRefusesFoldersOfOthers(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(t *testing.T, dir string) string{
		"group may write": func(t *testing.T, dir string) string { t.Helper(); return chmod(t, dir, 0o775) },
		"world may write": func(t *testing.T, dir string) string { t.Helper(); return chmod(t, dir, 0o757) },
		"symbolic link": func(t *testing.T, dir string) string {
			t.Helper()
			link := filepath.Join(t.TempDir(), "link")
			if err := os.Symlink(dir, link); err != nil {
				t.Fatal(err)
			}
			return link
		},
		"a link inside": func(t *testing.T, dir string) string {
			t.Helper()
			if err := os.Symlink(t.TempDir(), filepath.Join(dir, "ingest")); err != nil {
				t.Fatal(err)
			}
			return dir
		},
		"a link among the blobs": func(t *testing.T, dir string) string {
			t.Helper()
			if err := errors.Join(os.Mkdir(filepath.Join(dir, "blobs"), 0o755), os.Symlink(t.TempDir(), filepath.Join(dir, "blobs", "sha256"))); err != nil {
				t.Fatal(err)
			}
			return dir
		},
		"somebody else's folder inside": func(t *testing.T, dir string) string {
			t.Helper()
			if os.Geteuid() != 0 {
				return chmod(t, dir, 0o777) // only root can give a folder away
			}
			if err := errors.Join(os.Mkdir(filepath.Join(dir, "ingest"), 0o755), os.Chown(filepath.Join(dir, "ingest"), 4242, 4242)); err != nil {
				t.Fatal(err)
			}
			return dir
		},
		"dangling link": func(t *testing.T, dir string) string {
			t.Helper()
			link := filepath.Join(t.TempDir(), "link")
			if err := os.Symlink(filepath.Join(dir, "none"), link); err != nil {
				t.Fatal(err)
			}
			return link
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			real := t.TempDir()
			dir := spoil(t, real)
			root := Open(dir)
			root.euid = 0
			_, copying := transfer.Copy(t.Context(), tiny(), root.Sink("a"), transfer.Options{})
			_, resolving := root.Source("a").Resolve(t.Context())
			_, listing := root.List(t.Context())
			tagging := root.Tag(t.Context(), "a", "b")
			for verb, err := range map[string]error{"copy": copying, "resolve": resolving, "list": listing, "tag": tagging} {
				if _, unsafe := errors.AsType[*UnsafeError](err); !unsafe {
					t.Errorf("%s: %v", verb, err)
				}
			}
			if _, err := os.Stat(filepath.Join(real, "index.json")); err == nil {
				t.Error("an index was made")
			}
			if strings.Contains(name, "inside") || strings.Contains(name, "among") {
				return // nobody else has to get along with these
			}
			if left, err := os.ReadDir(real); err != nil || len(left) != 0 {
				t.Errorf("made %v, %v", left, err)
			}
			if _, err := os.Stat(dir); err != nil {
				return // nobody can use what the link leads to
			}
			user := Open(dir)
			user.euid = 1000
			if _, err := transfer.Copy(t.Context(), tiny(), user.Sink("a"), transfer.Options{}); err != nil {
				t.Errorf("somebody else: %v", err)
			}
		})
	}
}

// What root reads out of a layout goes to a registry.
func TestRootFollowsNoLinkToABlob(t *testing.T) {
	t.Parallel()
	dir, src := t.TempDir(), tiny()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := transfer.Copy(t.Context(), src, Open(dir).Sink("a"), transfer.Options{}); err != nil {
		t.Fatal(err)
	}
	for h, data := range src.Content {
		if len(data) != 1 {
			continue // the layer alone
		}
		blob := filepath.Join(dir, "blobs", "sha256", h.Hex)
		moved := filepath.Join(t.TempDir(), "secret")
		if err := errors.Join(os.Rename(blob, moved), os.Symlink(moved, blob)); err != nil {
			t.Fatal(err)
		}
		for euid, refuses := range map[int]bool{0: true, 1000: false} {
			s := Open(dir)
			s.euid = euid
			f, err := s.Source("a").Blob(t.Context(), v1.Descriptor{Digest: h, Size: 1}, 0)
			if err == nil {
				err = f.Close()
			}
			if _, unsafe := errors.AsType[*UnsafeError](err); unsafe != refuses || err != nil && !unsafe {
				t.Errorf("user %d: %v", euid, err)
			}
		}
	}
}

func chmod(t *testing.T, dir string, mode os.FileMode) string {
	t.Helper()
	if err := os.Chmod(dir, mode); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestFIFOsAreNotWaitedFor(t *testing.T) {
	t.Parallel()
	src := tiny()
	var layer v1.Descriptor
	for h, data := range src.Content {
		if len(data) == 1 {
			layer = v1.Descriptor{Digest: h, Size: 1}
		}
	}
	fifo := func(name string) *Store {
		dir := t.TempDir()
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
		return Open(dir)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, err := fifo("index.json").Source("a").Resolve(t.Context())
		if _, ok := errors.AsType[*LayoutError](err); !ok {
			t.Errorf("index.json: %v", err)
		}
		_, err = fifo("blobs/sha256/"+layer.Digest.Hex).Source("a").Blob(t.Context(), layer, 0)
		if _, ok := errors.AsType[*LayoutError](err); !ok {
			t.Errorf("blob: %v", err)
		}
		_, err = transfer.Copy(t.Context(), tiny(), fifo("ingest/sha256-"+layer.Digest.Hex).Sink("a"), transfer.Options{})
		if _, ok := errors.AsType[*atomicfile.NotRegularError](err); !ok {
			t.Errorf("ingest: %v", err)
		}
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("something waits for a FIFO")
	}
}
