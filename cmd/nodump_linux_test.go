package cmd_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vicr-cli/vicr/cmd"
)

// TestACrashLeavesNoMemoryBehind looks from inside, in a process of its own.
func TestACrashLeavesNoMemoryBehind(t *testing.T) {
	const inside = "VICR_TEST_INSIDE"
	if os.Getenv(inside) == "" {
		t.Parallel()
		c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		c.Env = append(os.Environ(), inside+"=1")
		if out, err := c.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	e := cmd.OS()
	e.Stdout, e.Stderr = new(strings.Builder), new(strings.Builder)
	if code := cmd.Main([]string{"version"}, e); code != 0 {
		t.Fatalf("code %d", code)
	}
	limits, err := os.ReadFile("/proc/self/limits")
	if err != nil {
		t.Fatal(err)
	}
	var core []string
	for line := range strings.Lines(string(limits)) {
		if rest, ok := strings.CutPrefix(line, "Max core file size"); ok {
			core = strings.Fields(rest)
		}
	}
	if len(core) == 0 || core[0] != "0" {
		t.Errorf("limit of a core file: %q", core)
	}
	if d, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err != nil || d != 0 {
		t.Errorf("dumpable: %d (%v)", d, err)
	}
	if exe, err := os.Readlink("/proc/self/exe"); err != nil || exe != e.Executable {
		t.Errorf("its own program: %q, %q (%v)", exe, e.Executable, err)
	}
}
