//go:build faults && linux

package cmd_test

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/testkit"
)

const (
	gib      = 1 << 30
	mostRSS  = 48 * mib // of a pull
	lostAtIt = mib      // at most, at each kill: what the kernel has, and one buffer

	toRegistry = "another registry"

	aheadAtMost = 16 * mib // that a pull fetches ahead: docs/transfer.md
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

// peak runs c and says the most memory that it had, in bytes. What wait4 says is
// the most of this process too, which the other one was before its exec.
func peak(t *testing.T, c *exec.Cmd) (bytes int64, err error) {
	t.Helper()
	if err := c.Start(); err != nil {
		return 0, err
	}
	end := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		for {
			status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.Process.Pid)) // gone at the end
			if _, rest, ok := strings.Cut(string(status), "VmHWM:"); ok {
				var kib int64
				if _, err := fmt.Sscan(rest, &kib); err == nil {
					bytes = max(bytes, kib<<10)
				}
			}
			select {
			case <-end:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	err = c.Wait()
	close(end)
	group.Wait()
	return bytes, err
}

// Killed again and again, each time a little further on, a pull ends whole, and
// each time little of it is sent again.
func TestCrashInAPull(t *testing.T) {
	t.Parallel()
	kills, size := int64(10), int64(40*mib)
	if full() {
		kills, size = 100, 200*mib
	}
	killed(t, kills, size, 80*mib, lostAtIt) // one connection is fast enough
}

// Where the blob comes in parts, what was fetched ahead is sent again too.
func TestCrashInAPullInParts(t *testing.T) {
	t.Parallel()
	kills, size := int64(3), int64(160*mib)
	if full() {
		kills, size = 15, 600*mib
	}
	p := killed(t, kills, size, 20*mib, aheadAtMost+lostAtIt)
	if n := p.line.Connections(); n < 3*(kills+1) {
		t.Errorf("it came over %d connections in %d runs", n, kills+1)
	}
}

// killed pulls a layer of size bytes, over connections of rate bytes a second.
// At each kill at most so many bytes may be lost.
func killed(t *testing.T, kills, size, rate, lost int64) *puller {
	t.Helper()
	p := newPuller(t, testkit.LineOptions{Rate: rate})
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
	if again > (kills+1)*lost {
		t.Errorf("%d bytes were sent again after %d kills", again, kills)
	}
	return p
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

// Memory does not grow with what is pulled, or copied.
func TestCrashOfNothingBySize(t *testing.T) {
	t.Parallel()
	for name, size := range sizes() {
		for _, to := range []string{"store", "oci:out:1", toRegistry} {
			t.Run(name+" "+to, func(t *testing.T) {
				p := newPuller(t, testkit.LineOptions{Rate: size.rate})
				p.bin = built(t)
				var descs []v1.Descriptor
				all := int64(0)
				for _, n := range size.layers {
					descs = append(descs, p.made.Layer(n))
					all += n
				}
				root := p.made.Tag("1", descs...)
				c, said := p.commandOf([]string{"1"}, "--to", to)
				taken := &drain{}
				if to == toRegistry {
					s := httptest.NewServer(taken)
					t.Cleanup(s.Close)
					c.Args = []string{p.bin, "copy", "--src-plain-http", "--dest-plain-http", p.line.Addr() + "/demo/app:1", strings.TrimPrefix(s.URL, "http://") + "/demo/app:1"}
				}
				most, err := peak(t, c)
				if err != nil {
					t.Fatalf("%v\n%s", err, said)
				}
				t.Logf("%d MiB, %d connections", most/mib, p.line.Connections())
				if most < mib || most > mostRSS {
					t.Errorf("took %d MiB", most/mib)
				}
				if to == "store" {
					p.whole("1", root)
				}
				if n := taken.taken.Load(); to == toRegistry && n <= all { // the config comes with them
					t.Errorf("%d bytes of %d were taken", n, all)
				}
				if !strings.Contains(said.String(), root.Digest.String()) {
					t.Errorf("said\n%s", said)
				}
			})
		}
	}
}

// A pulled is an image, and how fast each connection is that it comes over.
type pulled struct {
	layers []int64
	rate   int64 // 0: as it may be
}

func sizes() map[string]pulled {
	large := int64(gib)
	if full() {
		large = 10 * gib
	}
	many := make([]int64, 500)
	for i := range many {
		many[i] = 100_000 + int64(i)
	}
	return map[string]pulled{
		fmt.Sprint(large>>30, " GiB"): {layers: []int64{large}},
		"500 layers":                  {layers: many},
		"slow connections":            {layers: []int64{20 * mib, 90 * mib, 10 * mib}, rate: 20 * mib},
	}
}
