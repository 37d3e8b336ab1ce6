//go:build crashpoints

package store_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/store"
)

// TestCrashHelper is what the processes run that are killed.
func TestCrashHelper(t *testing.T) {
	dir := os.Getenv("VICR_TEST_STORE")
	if dir == "" {
		t.Skip("not a helper process")
	}
	put(t, store.Open(dir), "a", sample(2))
	if err := store.Open(dir).Tag(t.Context(), "a", "b"); err != nil {
		t.Fatal(err)
	}
}

// Killed before and after every system call that changes something, and again
// in the run that follows, the store is never seen torn, and ends up right.
func TestCrashesLeaveTheStoreWhole(t *testing.T) {
	t.Parallel()
	steps := countCrashPoints(t)
	if steps < 20 {
		t.Fatalf("only %d crash points were passed", steps)
	}
	for k := 1; k <= steps; k++ {
		t.Run(strconv.Itoa(k), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			put(t, store.Open(dir), "a", sample(1))
			killed(t, dir, k)
			consistent(t, dir)
			killed(t, dir, (k*7)%steps+1)
			consistent(t, dir)
			if out, err := helper(t, dir).CombinedOutput(); err != nil {
				t.Fatalf("the run after: %v\n%s", err, out)
			}
			for _, name := range []string{"a", "b"} {
				if got, want := digestOf(t, store.Open(dir), name), sample(2).Root.Digest.String(); got != want {
					t.Errorf("%s is %s, want %s", name, got, want)
				}
			}
			consistent(t, dir)
		})
	}
}

func helper(t *testing.T, dir string, env ...string) *exec.Cmd {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCrashHelper$")
	c.Env = append(os.Environ(), append(env, "VICR_TEST_STORE="+dir)...)
	return c
}

func countCrashPoints(t *testing.T) int {
	t.Helper()
	dir, log := t.TempDir(), filepath.Join(t.TempDir(), "log")
	put(t, store.Open(dir), "a", sample(1))
	if out, err := helper(t, dir, "VICR_CRASH_LOG="+log).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	lines, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(lines), "\n")
}

func killed(t *testing.T, dir string, at int) {
	t.Helper()
	out, err := helper(t, dir, "VICR_CRASH_AT="+strconv.Itoa(at)).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != -1) {
		t.Fatalf("was not killed but failed at %d: %v\n%s", at, err, out)
	}
}
