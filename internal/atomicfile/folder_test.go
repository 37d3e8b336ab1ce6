//go:build unix

package atomicfile_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/vicr-cli/vicr/internal/atomicfile"
)

func TestMkdirAllSaysWhatItMade(t *testing.T) {
	t.Parallel()
	for kind, p := range trees(t) {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			in := func(name string) string { return filepath.Join(p.in, name) }
			missing, err := p.tree.Missing(in("a/b/c"))
			if err != nil {
				t.Fatal(err)
			}
			made, err := p.tree.MkdirAll(in("a/b/c"), 0o750)
			want := []string{in("a"), in("a/b"), in("a/b/c")}
			if err != nil || !slices.Equal(made, want) || !slices.Equal(missing, want) {
				t.Fatalf("made %q, missing %q, %v", made, missing, err)
			}
			if made, err = p.tree.MkdirAll(in("a/b/c"), 0o700); err != nil || len(made) != 0 {
				t.Errorf("again: made %q, %v", made, err)
			}
			info, err := p.tree.Stat(in("a/b/c"))
			if err != nil || info.Mode().Perm() != 0o750 {
				t.Errorf("%v, %v", info, err)
			}
			if err := p.tree.RemoveDir(in("a/b")); !errors.Is(err, atomicfile.ErrNotEmpty) {
				t.Errorf("a full folder: %v", err)
			}
			for range 2 { // the second time there is nothing
				if err := p.tree.RemoveDir(in("a/b/c")); err != nil {
					t.Error(err)
				}
			}
			if err := p.tree.Write(in("a/f"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
			if err := p.tree.RemoveDir(in("a/f")); err == nil {
				t.Error("a file was removed as a folder")
			}
			if _, err := p.tree.MkdirAll(in("a/f/x"), 0o755); err == nil {
				t.Error("a folder was made in a file")
			}
			for range 2 {
				if err := p.tree.Remove(in("a/f")); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestSweepRemovesOnlyLeftovers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	kept := []string{".vicr-.tmp", ".vicr-0123456789abcdef.crt", ".vicr-0123456789abcdeg.tmp", "ca.crt", "x.tmp"}
	for _, name := range append(kept, ".vicr-0123456789abcdef.tmp") {
		write(t, filepath.Join(dir, name), "x")
	}
	if err := os.Mkdir(filepath.Join(dir, ".vicr-ffffffffffffffff.tmp"), 0o755); err != nil {
		t.Fatal(err)
	}
	if n, err := atomicfile.Machine().Sweep(dir); err != nil || n != 1 {
		t.Errorf("swept %d, %v", n, err)
	}
	wantNames(t, dir, append(append(kept[:3:3], ".vicr-ffffffffffffffff.tmp"), kept[3:]...)...)
	if n, err := atomicfile.Machine().Sweep(filepath.Join(dir, "none")); err != nil || n != 0 {
		t.Errorf("no folder: %d, %v", n, err)
	}
}
