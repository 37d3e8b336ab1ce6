//go:build unix

package atomicfile_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/vicr-cli/vicr/internal/atomicfile"
)

// What belongs to a whole process (the umask, limits, the locks of one that is
// killed) is tested in processes of their own, which are this test again.
const (
	helperEnv  = "VICR_TEST_HELPER"
	helperPath = "VICR_TEST_PATH"
	helperArg  = "VICR_TEST_ARG"
)

func TestMain(m *testing.M) {
	helpers := map[string]func(path, arg string) error{
		"":       nil,
		"umask":  helperUmask,
		"full":   helperFull,
		"holder": helperHolder,
	}
	run := helpers[os.Getenv(helperEnv)]
	if run == nil {
		os.Exit(m.Run())
	}
	if err := run(os.Getenv(helperPath), os.Getenv(helperArg)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func helper(t *testing.T, name, path, arg string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), helperEnv+"="+name, helperPath+"="+path, helperArg+"="+arg)
	return cmd
}

func helperUmask(dir, arg string) error {
	mask, err := strconv.ParseInt(arg, 8, 32)
	if err != nil {
		return err
	}
	syscall.Umask(int(mask))
	tree := atomicfile.Machine()
	if _, err := tree.MkdirAll(filepath.Join(dir, "a", "b"), 0o755); err != nil {
		return err
	}
	if err := tree.Write(filepath.Join(dir, "a", "b", "ca.crt"), []byte("ca"), 0o644); err != nil {
		return err
	}
	return tree.Write(filepath.Join(dir, "config.json"), []byte("{}"), 0)
}

func TestModesDoNotDependOnTheUmask(t *testing.T) {
	t.Parallel()
	for _, mask := range []string{"000", "022", "077", "0777"} {
		t.Run(mask, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if os.Geteuid() != 0 && mask == "0777" {
				t.Skip("only root reaches a folder that it may not enter")
			}
			if out, err := helper(t, "umask", dir, mask).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			for name, want := range map[string]fs.FileMode{
				"a": 0o755, "a/b": 0o755, "a/b/ca.crt": 0o644, "config.json": 0o600,
			} {
				info, err := os.Stat(filepath.Join(dir, name))
				if err != nil {
					t.Fatal(err)
				}
				if got := info.Mode().Perm(); got != want {
					t.Errorf("%s has mode %04o, want %04o", name, got, want)
				}
			}
		})
	}
}

const fullAt = 1000 // bytes

func helperFull(path, _ string) error {
	signal.Ignore(syscall.SIGXFSZ)
	limit := syscall.Rlimit{Cur: fullAt, Max: fullAt}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	err := atomicfile.Machine().Write(path, make([]byte, 2*fullAt), 0o644)
	var perr *fs.PathError
	if !errors.Is(err, syscall.EFBIG) || !errors.As(err, &perr) || perr.Path != path {
		return fmt.Errorf("want EFBIG that names %s, got %w", path, err)
	}
	return nil
}

func TestFileIsAsItWasAndNoTempIsLeftWhenTheDiskIsFull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "daemon.json")
	write(t, path, "old")
	if out, err := helper(t, "full", path, "").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	wantFile(t, path, "old")
	wantNames(t, dir, "daemon.json")
}

// helperHolder takes the lock, says so, and holds it until it is killed.
func helperHolder(path, _ string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	lock, err := atomicfile.Lock(ctx, path, 0)
	if err != nil {
		return err
	}
	fmt.Println("held")
	<-ctx.Done()
	return lock.Unlock()
}
