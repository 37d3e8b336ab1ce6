//go:build faults && unix

package cmd_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/testkit"
)

const (
	gib      = 1 << 30
	mostRSS  = 48 * mib // of a pull
	lostAtIt = mib      // at most, at each kill: what the kernel has, and one buffer
)

// built is vicr without the tests around it.
func built(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "vicr")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", bin, "..")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return bin
}

func full() bool { return os.Getenv("FAULTS") == "full" }

// rss is the most memory that a process had, in bytes.
func rss(c *exec.Cmd) int64 {
	usage, _ := c.ProcessState.SysUsage().(*syscall.Rusage)
	return usage.Maxrss << 10
}

// Killed again and again, each time a little further on, a pull ends whole, and
// each time little of it is sent again.
func TestCrashInAPull(t *testing.T) {
	t.Parallel()
	kills, size := int64(10), int64(40*mib)
	if full() {
		kills, size = 100, 200*mib
	}
	p := newPuller(t, testkit.LineOptions{Rate: 80 * mib})
	p.bin = built(t)
	layer := p.made.Layer(size)
	root := p.made.Tag("1", layer)
	for k := int64(1); k <= kills; k++ {
		c, said := p.command("1")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		p.until(layer, k*size/(kills+1))
		if err := c.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		err := c.Wait()
		if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != crashKilled {
			t.Fatalf("kill %d: %v\n%s", k, err, said)
		}
	}
	p.pull("1", root)
	again := p.line.Sent() - size
	t.Logf("%d bytes of %d were sent again after %d kills", again, size, kills)
	if again > (kills+1)*lostAtIt {
		t.Errorf("%d bytes were sent again after %d kills", again, kills)
	}
}

// What is left of a blob at its last tenth is all that the next run fetches.
func TestCrashAtTheLastTenth(t *testing.T) {
	t.Parallel()
	size := int64(100 * mib)
	if full() {
		size = 500 * mib
	}
	p := newPuller(t, testkit.LineOptions{Rate: 160 * mib})
	p.bin = built(t)
	layer := p.made.Layer(size)
	root := p.made.Tag("1", layer)
	c, _ := p.command("1")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	p.until(layer, size*9/10)
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait() // it was killed
	before := p.line.Sent()
	p.pull("1", root)
	moved := p.line.Sent() - before
	t.Logf("%d bytes, %.1f %%", moved, 100*float64(moved)/float64(size))
	if moved > size*11/100 {
		t.Errorf("%d bytes of %d were moved", moved, size)
	}
}

// Memory does not grow with what is pulled.
func TestCrashOfNothingBySize(t *testing.T) {
	t.Parallel()
	for name, layers := range sizes() {
		for _, to := range []string{"store", "oci:out:1"} {
			t.Run(name+" "+to, func(t *testing.T) {
				p := newPuller(t, testkit.LineOptions{})
				p.bin = built(t)
				var descs []v1.Descriptor
				for _, size := range layers {
					descs = append(descs, p.made.Layer(size))
				}
				root := p.made.Tag("1", descs...)
				c, said := p.commandOf([]string{"1"}, "--to", to)
				if err := c.Run(); err != nil {
					t.Fatalf("%v\n%s", err, said)
				}
				t.Logf("%d MiB", rss(c)/mib)
				if rss(c) > mostRSS {
					t.Errorf("took %d MiB", rss(c)/mib)
				}
				if to == "store" {
					p.whole("1", root)
				}
				if !strings.Contains(said.String(), root.Digest.String()) {
					t.Errorf("said\n%s", said)
				}
			})
		}
	}
}

func sizes() map[string][]int64 {
	large := int64(gib)
	if full() {
		large = 10 * gib
	}
	many := make([]int64, 500)
	for i := range many {
		many[i] = 100_000 + int64(i)
	}
	return map[string][]int64{fmt.Sprint(large>>30, " GiB"): {large}, "500 layers": many}
}
