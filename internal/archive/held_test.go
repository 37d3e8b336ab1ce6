package archive_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/archive"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// What an engine gives out in many small files fills no memory.
func TestSmallFilesOfAPassAreBounded(t *testing.T) {
	t.Parallel()
	const size, most = 64 << 10, 32 << 20
	r, w := io.Pipe()
	go func() {
		out := tar.NewWriter(w)
		var err error
		for n := 0; err == nil && n <= 2*most/size; n++ {
			if err = out.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprint(n), Size: size, Mode: 0o644}); err == nil {
				_, err = out.Write(make([]byte, size))
			}
		}
		_ = w.CloseWithError(errors.Join(err, out.Close()))
	}()
	files := 0
	err := archive.Passing("x").Pass(t.Context(), r, func(*archive.File) (bool, error) { files++; return false, nil })
	_ = r.Close()
	if bad, ok := errors.AsType[*archive.Error](err); !ok || !bad.Unsafe || files != most/size {
		t.Errorf("after %d files: %v", files, err)
	}
}

// What is a blob of one image and a manifest of another is in the archive once.
func TestAManifestThatIsABlobTooIsWrittenOnce(t *testing.T) {
	t.Parallel()
	one, two := sample(1), sample(2)
	raw := one.Content[one.Root.Digest]
	blob := two.Content.Layer(raw)
	two.Root = two.Content.Image(transfertest.Amd64(), blob)
	var b bytes.Buffer
	w := archive.Stream(&b, 2, options(t, archive.OCI))
	put(t, w, "r.example/a:1", two, 1)
	put(t, w, "r.example/b:1", one, 1)
	must(t, w.Close())
	all := entries(t, b.Bytes())
	slices.Sort(all)
	if n := len(all); n != len(slices.Compact(all)) {
		t.Errorf("%d files, some twice: %q", n, all)
	}
	a, err := archive.Read(t.Context(), &b, "x.tar", options(t, archive.OCI))
	must(t, err)
	_, err = a.Source("r.example/a:1").Resolve(t.Context())
	must(t, errors.Join(err, a.Close()))
}

// Root takes nothing away that is another user's.
func TestPartsOfOthersAreLeft(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	dir := t.TempDir()
	theirs := filepath.Join(dir, ".theirs.tar.vicr-part")
	old := time.Now().Add(-time.Hour)
	must(t, os.WriteFile(theirs, []byte("x"), 0o600))
	must(t, os.Chtimes(theirs, old, old))
	must(t, os.Chown(theirs, 12345, 12345))
	w, err := archive.Create(filepath.Join(dir, "a.tar"), 1, options(t, archive.OCI))
	must(t, err)
	must(t, w.Close())
	if left := namesIn(t, dir); !slices.Equal(left, []string{filepath.Base(theirs)}) {
		t.Errorf("left are %q", left)
	}
}
