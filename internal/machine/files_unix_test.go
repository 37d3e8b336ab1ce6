//go:build unix

package machine_test

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/vicr-cli/vicr/internal/machine"
)

func TestReadFileDoesNotWaitAtAPipe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"machine": read(machine.Machine{}, filepath.Join(dir, "pipe")),
		"tree":    read(machine.Machine{Root: dir}, "/pipe"),
	} {
		var not *machine.NotRegularError
		if !errors.As(err, &not) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func read(m machine.Machine, path string) error {
	_, err := m.ReadFile(path, 10)
	return err
}
