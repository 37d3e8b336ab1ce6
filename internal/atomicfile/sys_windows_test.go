package atomicfile_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/vicr-cli/vicr/internal/atomicfile"
)

func TestWhatBelongsToAnother(t *testing.T) {
	t.Parallel()
	own := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(own, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	explorer := filepath.Join(os.Getenv("SystemRoot"), "explorer.exe") // TrustedInstaller's
	for path, want := range map[string]bool{own: false, filepath.Dir(own): false, explorer: true} {
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := atomicfile.Machine().Foreign(path, info); err != nil || got != want {
			t.Errorf("%s: %v, %v", path, got, err)
		}
	}
	if _, err := atomicfile.Machine().Foreign(own+".none", nil); err == nil {
		t.Error("what is not there has an owner")
	}
}
