//go:build e2e && linux

package cmd_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/testkit"
)

// An engine that is killed while it pushes or pulls through the relay is an error in
// plain words, and no name of the relay outlives the next run.
func TestRealRelayWhenTheEngineIsKilled(t *testing.T) {
	t.Parallel()
	for _, e := range relayEngines() {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			d := e.engine(t)
			w := newRelayWorld(t, d)
			base, name := registryHost+"/library/app:1", registryHost+"/demo/large:1"
			w.run(t, "pull", base)
			w.build(t, base, name, 16<<10)

			w.killEngine(t, d, "push", name, "registry/docker/registry/v2/repositories/demo/large/_uploads/*/data")
			if w.relayNames(t) == "" {
				t.Error("the engine has lost the name of the relay: there is nothing to take away")
			}
			w.pinned(t, w.run(t, "push", name), name)
			w.tidy(t)

			w.dockerRun(t, "rmi", name)
			w.killEngine(t, d, "pull", name, "docker-data/tmp/GetImageBlob*", "docker-data/containerd/*/io.containerd.content.v1.content/ingest/*/data")
			w.pinned(t, w.run(t, "pull", name), name)
			w.tidy(t)
			if got := w.inspect(t, name); !slices.Equal(got.RepoTags, []string{name}) {
				t.Errorf("the engine knows it as %q", got.RepoTags)
			}
		})
	}
}

// killEngine kills the engine once a file of the rig shows that an image is on its way,
// and starts it again once vicr has ended.
func (w *relayWorld) killEngine(t *testing.T, d testkit.Dockerd, verb, name string, growing ...string) {
	t.Helper()
	p := w.Launch(t, w.argv(verb, name)...)
	for deadline := time.Now().Add(30 * time.Second); !w.grows(t, growing); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: nothing is on its way", verb)
		}
	}
	w.engine.Signal(t, syscall.SIGKILL)
	w.engine.Wait(t)
	code := p.Wait(t)
	said := p.Log()
	t.Logf("%s: exit %d\n%s", verb, code, said)
	if code != 1 || !strings.Contains(said, "vicr: hint: start the engine") || strings.Contains(said, "@sha256:") {
		t.Errorf("%s: exit %d, %s", verb, code, said)
	}
	for _, raw := range []string{"EOF", "dial unix", "connection refused", "127.0.0.1"} {
		if strings.Contains(said, raw) {
			t.Errorf("%s says %q: %s", verb, raw, said)
		}
	}
	// What stays of its containerd may be nobody's child to reap, and so look alive.
	if err := os.Remove(w.Etc("/run/docker/containerd/containerd.pid")); err != nil {
		t.Fatal(err)
	}
	w.engine = w.StartDockerd(t, d)
}

// grows says whether one of the rig's files that fit has bytes.
func (w *relayWorld) grows(t *testing.T, patterns []string) bool {
	t.Helper()
	for _, pattern := range patterns {
		files, err := filepath.Glob(filepath.Join(w.Dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if info, err := os.Stat(f); err == nil && info.Size() > 1<<20 {
				return true
			}
		}
	}
	return false
}
