//go:build e2e && linux

package cmd_test

import (
	"encoding/json"
	"runtime"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/testkit"
)

// Of an index the newest engine has the part that was pulled, and names the others.
func TestRealPullOfAnotherPlatform(t *testing.T) {
	t.Parallel()
	testkit.Need(t, "curl", "curl")
	w := newRelayWorld(t, testkit.NewestDockerd(t))
	own, other := runtime.GOARCH, "arm64"
	if own == other {
		other = "amd64"
	}
	multi := registryHost + "/demo/multi:1"
	w.must(t, w.vicr, "push", "--from", "oci-archive:"+w.write(t, "all.tar", tarOf(docker29("multi:1", own, other))), multi)
	w.run(t, "pull", "--platform", "linux/"+other, multi)
	w.available(t, multi, other)
	w.run(t, "pull", multi)
	w.available(t, multi, other, own)
	w.requests()
	for _, platform := range []string{own, other} {
		w.run(t, "pull", "--platform", "linux/"+platform, multi)
		if asked := w.requests(); len(asked) != 1 || !strings.HasPrefix(asked[0], "HEAD ") {
			t.Errorf("%s is there, and the registry was asked %q", platform, asked)
		}
	}
}

// An engine that fetches an image by itself takes what is in no index for what it
// was asked for.
func TestRealPullOfAnImageForAnotherPlatform(t *testing.T) {
	t.Parallel()
	other := "arm64"
	if runtime.GOARCH == other {
		other = "amd64"
	}
	image := registryHost + "/library/app:1"
	want := image + " is for linux/" + runtime.GOARCH + ", not for linux/" + other
	for _, e := range relayEngines() {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			w := newRelayWorld(t, e.engine(t))
			if got := w.must(t, w.argv("pull", "--platform", "linux/"+other, image)...); !strings.Contains(got.Stderr, want) {
				t.Errorf("not warned of it: %s", got.Stderr)
			}
		})
	}
}

// available checks for which architectures the engine has all of an image.
func (w *relayWorld) available(t *testing.T, name string, architectures ...string) {
	t.Helper()
	at := "http://engine/images/" + name + "/json?manifests=1"
	raw := w.must(t, "curl", "-sS", "--unix-socket", strings.TrimPrefix(w.host, "unix://"), at).Stdout
	var img struct {
		Manifests []struct {
			Available  bool
			Descriptor struct{ Platform struct{ Architecture string } }
		}
	}
	if err := json.Unmarshal([]byte(raw), &img); err != nil {
		t.Fatalf("%v: %s", err, raw)
	}
	has := map[string]bool{}
	for _, m := range img.Manifests {
		if m.Available {
			has[m.Descriptor.Platform.Architecture] = true
		}
	}
	for _, a := range architectures {
		if !has[a] {
			t.Errorf("the engine lacks %s: %s", a, raw)
		}
	}
	if len(has) != len(architectures) {
		t.Errorf("it has %v, want %q", has, architectures)
	}
}
