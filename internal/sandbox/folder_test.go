package sandbox

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestAMissingFolderIsMadeAndGone(t *testing.T) {
	t.Parallel()
	outer := filepath.Join(t.TempDir(), "not")
	dir := filepath.Join(outer, "there")
	b := start(t, Options{Dir: dir})
	info, err := os.Stat(dir)
	if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
	b.push(t, "demo/app", make([]byte, maxInMemory+1))
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(outer); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("left behind: %v", err)
	}
}

// What somebody else puts there, and folders that were there before, stay.
func TestAFolderWithOthersInItStays(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "made")
	s, err := Start(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "notes")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), s.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}

func TestAFolderThatTakesNoFilesIsToldAtOnce(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "below")} {
		s, err := Start(t.Context(), Options{Dir: dir})
		if err == nil {
			t.Errorf("%s: it started, closed: %v", dir, s.Close())
		}
	}
}
