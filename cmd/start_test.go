package cmd

import (
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestNothingIsPreparedThatNobodyAskedFor: what a package makes before main, a
// table of regular expressions say, every command pays for.
func TestNothingIsPreparedThatNobodyAskedFor(t *testing.T) {
	t.Parallel()
	const most = 4 << 10 // bytes; one short regular expression has more
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), self, "-test.run=^$")
	c.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	// init internal/bytealg @0.008 ms, 0 ms clock, 0 bytes, 0 allocs (package runtime, "Environment Variables")
	line := regexp.MustCompile(`(?m)^init (\S+) .* (\d+) bytes, \d+ allocs$`)
	var heard bool
	for _, m := range line.FindAllStringSubmatch(string(out), -1) {
		heard = true
		bytes, err := strconv.Atoi(m[2])
		if room, ours := strings.CutPrefix(m[1], module+"/internal/"); ours && room != "testkit" && (err != nil || bytes > most) {
			t.Errorf("%s takes %s bytes before main begins, more than %d", m[1], m[2], most)
		}
	}
	if !heard {
		t.Errorf("the runtime tells nothing of what is made before main:\n%s", out)
	}
}
