//go:build unix

package cmd_test

import (
	"bytes"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/store"
	"github.com/vicr-cli/vicr/internal/testkit"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// A pusher pushes one image with a large layer, each time as a process of its
// own, to a registry that is told how to fail.
type pusher struct {
	t        *testing.T
	registry *testkit.UploadRegistry // nil: a real one
	host     string
	home     string
	layer    v1.Descriptor
}

func newPusher(t *testing.T, u *testkit.UploadRegistry, size int) *pusher {
	t.Helper()
	s := httptest.NewUnstartedServer(u)
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // connections are broken on purpose
	s.Start()
	t.Cleanup(s.Close)
	p := pusherTo(t, strings.TrimPrefix(s.URL, "http://"), size)
	p.registry = u
	return p
}

// pusherTo is a pusher to a registry that is there already.
func pusherTo(t *testing.T, host string, size int) *pusher {
	t.Helper()
	p := &pusher{t: t, host: host, home: t.TempDir()}
	c := transfertest.Content{}
	p.layer = c.Layer(transfertest.Bytes(9, size))
	src := &transfertest.Source{Root: c.Image(transfertest.Amd64(), p.layer), Content: c}
	if _, err := transfer.Copy(t.Context(), src, store.OpenLayout(filepath.Join(p.home, "image")).Sink("1"), transfer.Options{}); err != nil {
		t.Fatal(err)
	}
	return p
}

// start begins a push.
func (p *pusher) start(flags ...string) (*exec.Cmd, *bytes.Buffer) {
	p.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		p.t.Fatal(err)
	}
	args := append([]string{"push", "--plain-http", "--from", "oci:image"}, flags...)
	c := exec.CommandContext(p.t.Context(), exe, append(args, p.host+"/demo/app:1")...)
	c.Args[0] = "vicr"
	c.Dir = p.home
	said := &bytes.Buffer{}
	c.Stdout, c.Stderr = said, said
	c.Env = []string{
		"HOME=" + p.home, "DOCKER_CONFIG=" + filepath.Join(p.home, "docker"), "DOCKER_HOST=unix://" + filepath.Join(p.home, "no-engine.sock"),
		"XDG_CONFIG_HOME=" + filepath.Join(p.home, "config"), "XDG_DATA_HOME=" + filepath.Join(p.home, "data"),
		"XDG_STATE_HOME=" + filepath.Join(p.home, "state"), "XDG_CACHE_HOME=" + filepath.Join(p.home, "cache"),
	}
	if err := c.Start(); err != nil {
		p.t.Fatal(err)
	}
	return c, said
}

// wants pushes to the end.
func (p *pusher) wants(flags ...string) {
	p.t.Helper()
	c, said := p.start(flags...)
	if err := c.Wait(); err != nil {
		p.t.Fatalf("%v\n%s", err, said)
	}
	if p.registry != nil && (!p.registry.Has("demo/app", p.layer.Digest.String()) || !p.registry.Has("demo/app", "1")) {
		p.t.Errorf("it is not there:\n%s", said)
	}
}

// signalled pushes until the registry has got so many bytes of the layer, sends
// a signal, and says how the process ended and how long that took.
func (p *pusher) signalled(at int64, sig os.Signal, flags ...string) (*os.ProcessState, time.Duration, string) {
	p.t.Helper()
	reached, gone := make(chan struct{}), make(chan struct{})
	var once sync.Once
	p.registry.Watch(func(size, _ int64) bool {
		if size >= at {
			once.Do(func() { close(reached) })
			if sig == os.Kill {
				<-gone
			}
		}
		return false
	})
	c, said := p.start(flags...)
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	select {
	case <-reached:
	case err := <-ended:
		p.t.Fatalf("it ended before the registry had got %d bytes: %v\n%s", at, err, said)
	}
	start := time.Now()
	if err := c.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
	<-ended
	took := time.Since(start)
	close(gone)
	p.registry.Watch(nil)
	return c.ProcessState, took, said.String()
}

// kill -9 at many points of a push: the next run goes on, the image is right in
// the end, and for each kill no more than one chunk is sent again.
func TestPushKilledAtManyPoints(t *testing.T) {
	t.Parallel()
	size, points := 48<<20, 10
	if os.Getenv("FAULTS") == "full" {
		size, points = 200_000_000, 100
	}
	const chunk = 2 << 20
	for name, test := range map[string]struct {
		broken testkit.Broken
		flags  []string
		again  int64 // bytes for each kill, at most
	}{
		"the registry keeps every byte":   {testkit.KeepsBytes, nil, 0},
		"the registry keeps whole chunks": {testkit.KeepsParts, []string{"--chunk-size", "2MiB"}, chunk},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := &testkit.UploadRegistry{Broken: test.broken}
			p := newPusher(t, u, size)
			kills := 0
			for k := range points {
				at := int64(size) / int64(points+1) * int64(k+1)
				state, _, said := p.signalled(at, os.Kill, test.flags...)
				if status, ok := state.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
					t.Fatalf("%v\n%s", state, said)
				}
				kills++
			}
			p.wants(test.flags...)
			const config = 1 << 10 // bytes, more than it has
			if got, most := u.Received(), p.layer.Size+int64(kills)*(test.again+config); got < p.layer.Size || got > most {
				t.Errorf("%d bytes arrived of %d, at most %d were to", got, p.layer.Size, most)
			}
			t.Logf("%d kills, %d bytes of %d sent again", kills, u.Received()-p.layer.Size, p.layer.Size)
			left, err := os.ReadDir(filepath.Join(p.home, "state", "vicr", "uploads"))
			left = slices.DeleteFunc(left, func(e os.DirEntry) bool { return strings.HasSuffix(e.Name(), ".tmp") }) // of a kill in a write; gone in a day
			if err != nil || len(left) != 0 {
				t.Errorf("left %v, %v", left, err)
			}
		})
	}
}

// Ctrl-C ends a push within a second, and what was sent stays: also where the
// registry drops uploads that break, since the upload does not break.
func TestPushInterrupted(t *testing.T) {
	t.Parallel()
	u := &testkit.UploadRegistry{Broken: testkit.DropsUploads}
	p := newPusher(t, u, 48<<20)
	for _, at := range []int64{16 << 20, 32 << 20} {
		state, took, said := p.signalled(at, os.Interrupt)
		if state.ExitCode() != 130 || took > time.Second {
			t.Errorf("exit code %d after %s\n%s", state.ExitCode(), took, said)
		}
	}
	p.wants()
	if got := u.Received(); got > p.layer.Size+1<<10 {
		t.Errorf("%d bytes arrived of %d", got, p.layer.Size)
	}
}

// A peer that does not read, or that reads and does not answer, is given up.
func TestPushToADeadPeer(t *testing.T) {
	t.Parallel()
	for name, read := range map[string]bool{"it does not read": false, "it does not answer": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stop := make(chan struct{})
			var began atomic.Int32
			u := &testkit.UploadRegistry{Before: func(_ http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodPatch && r.Method != http.MethodPut {
					return false
				}
				began.Add(1)
				if read {
					_, _ = io.Copy(io.Discard, r.Body)
				}
				<-stop
				panic(http.ErrAbortHandler)
			}}
			p := newPusher(t, u, 33<<20)
			t.Cleanup(func() { close(stop) }) // before the server is closed
			start := time.Now()
			c, said := p.start("--timeout", "1s", "-j", "1")
			err := c.Wait()
			exit, ok := errors.AsType[*exec.ExitError](err)
			if !ok || exit.ExitCode() != 6 || !strings.Contains(said.String(), "no progress in 1s") || began.Load() == 0 {
				t.Errorf("%v, %d uploads\n%s", err, began.Load(), said)
			}
			if took := time.Since(start); took > 15*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

// A registry that fails is asked again, and whoever waits sees that.
func TestAPushThatIsTriedAgainSaysSo(t *testing.T) {
	t.Parallel()
	var failed atomic.Bool
	u := &testkit.UploadRegistry{Before: func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut || !failed.CompareAndSwap(false, true) {
			return false
		}
		w.WriteHeader(http.StatusBadGateway)
		return true
	}}
	p := newPusher(t, u, 1000)
	c, said := p.start("-j", "1")
	if err := c.Wait(); err != nil || !strings.Contains(said.String(), ": try 2 in ") || !strings.Contains(said.String(), "502") {
		t.Errorf("%v\n%s", err, said)
	}
}
