package store_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/vicr-cli/vicr/internal/store"
	"github.com/vicr-cli/vicr/internal/transfer"
)

func TestANameThatStandsIsNeitherWrittenNorLocked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, lock, version := filepath.Join(dir, "index.json"), filepath.Join(dir, "ingest", "lock"), filepath.Join(dir, "oci-layout")
	pull := func(seed byte, name string) fs.FileInfo {
		t.Helper()
		if err := os.Remove(lock); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if _, err := transfer.Copy(t.Context(), sample(seed), store.OpenLayout(dir).Sink(name), transfer.Options{}); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	locked := func() bool { _, err := os.Lstat(lock); return err == nil }
	first := pull(1, "1")
	if again := pull(1, "1"); locked() || !os.SameFile(first, again) {
		t.Error("the same under the same name locks the index, or writes it")
	}
	other := pull(2, "1")
	if !locked() || os.SameFile(first, other) {
		t.Error("another image under the name is not written under the lock")
	}
	if second := pull(2, "2"); !locked() || os.SameFile(other, second) {
		t.Error("another name is not written under the lock")
	}
	if err := os.Remove(version); err != nil {
		t.Fatal(err)
	}
	pull(2, "2")
	if _, err := os.Stat(version); err != nil || !locked() {
		t.Errorf("what says that it is a layout does not come back: %v", err)
	}
}
