//go:build !windows

package memo_test

import (
	"os"
	"path/filepath"
	"testing"
)

// The addresses of uploads are of nobody else's business.
func TestUploadsAreTheUsersAlone(t *testing.T) {
	t.Parallel()
	dir, file := kept(t)
	for path, want := range map[string]os.FileMode{filepath.Join(dir, "uploads"): 0o700, file: 0o600} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
}
