//go:build e2e && linux

package cmd_test

import (
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/pki"
)

// enginePushes is how often the engine itself was told to push.
func (w *relayWorld) enginePushes() int { return strings.Count(w.calls(w.engine), "/push") }

// mounted pushes what the registry has elsewhere: it is put there with the digest
// that it has, without a byte of a blob and without the engine.
func (w *relayWorld) mounted(t *testing.T, what, from, to string) {
	t.Helper()
	want, blobs := w.skopeoDigest(t, from), len(w.layersAt(t, from))+1
	w.dockerRun(t, "tag", from, to)
	w.requests()
	before := w.enginePushes()
	out := w.run(t, "push", to)
	asked := w.requests()
	if got := to + "@" + want + "\n"; out != got {
		t.Errorf("%s: vicr printed %q, want %q", what, out, got)
	}
	_, repo, _ := strings.Cut(strings.TrimSuffix(to, ":1"), "/")
	gets, mounts, puts := tally(asked, "GET", "/manifests/", "200"), tally(asked, "POST", repo, "mount=", "201"), tally(asked, "PUT", repo+"/manifests/1", "201")
	if gets != 1 || mounts != blobs || puts != 1 || len(asked) > gets+mounts+puts+1 {
		t.Errorf("%s: %d blobs, and the push took %q", what, blobs, asked)
	}
	if w.enginePushes() != before {
		t.Errorf("%s: the engine had to push", what)
	}
	if got := w.skopeoDigest(t, to); got != want {
		t.Errorf("%s: it is there as %s, want %s", what, got, want)
	}
	w.tidy(t)
}

// What the registry has by whoever's pull or push needs no engine to be put under
// another name.
func TestRealPushOfWhatTheRegistryHas(t *testing.T) {
	t.Parallel()
	for _, e := range relayEngines() {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			d := e.engine(t)
			d.Args = append(d.Args, "-D")
			w := newRelayWorld(t, d)
			w.pushesKnown(t)
			if e.keeps {
				w.pushPartOfAnIndex(t)
			}
		})
	}
}

func (w *relayWorld) pushesKnown(t *testing.T) {
	t.Helper()
	w.run(t, "trust", registryHost, "--for", "docker", "--ca-file", filepath.Join(w.Dir, "ca.crt"), "--fingerprint", pki.SHA256(w.ca.Certificate).String())
	base := registryHost + "/library/app:1"
	w.dockerRun(t, "pull", base)
	w.mounted(t, "pulled by docker", base, registryHost+"/demo/a:1")
	w.dockerRun(t, "rmi", base, registryHost+"/demo/a:1")
	w.run(t, "pull", base)
	w.mounted(t, "pulled by vicr", base, registryHost+"/demo/b:1")
	for by, push := range map[string]func(string){
		"docker": func(name string) { w.dockerRun(t, "push", name) },
		"vicr":   func(name string) { w.run(t, "push", name) },
	} {
		built := registryHost + "/demo/by" + by + ":1"
		w.build(t, base, built, 100)
		push(built)
		w.tidy(t)
		w.mounted(t, "pushed by "+by, built, registryHost+"/demo/again"+by+":1")
	}
}

// pushPartOfAnIndex pushes an image that was pulled out of an index: the engine
// sends that image alone then, and so does who mounts it.
func (w *relayWorld) pushPartOfAnIndex(t *testing.T) {
	t.Helper()
	multi, one, all := registryHost+"/demo/multi:1", registryHost+"/demo/one:1", registryHost+"/demo/all:1"
	w.run(t, "push", "--from", "oci-archive:"+w.write(t, "all.tar", tarOf(docker29("multi:1", "amd64", "arm64"))), multi)
	w.dockerRun(t, "pull", "--platform", "linux/"+runtime.GOARCH, multi)
	for _, to := range []string{one, all} {
		want := sha([]byte(w.run(t, "inspect", "--platform", "linux/"+runtime.GOARCH, "--raw", multi)))
		if to == all {
			for _, arch := range []string{"amd64", "arm64"} {
				w.dockerRun(t, "pull", "--platform", "linux/"+arch, multi)
			}
			want = sha([]byte(w.run(t, "inspect", "--raw", multi)))
		}
		w.dockerRun(t, "tag", multi, to)
		before := w.enginePushes()
		if got := w.run(t, "push", to); got != to+"@sha256:"+want+"\n" || w.enginePushes() != before {
			t.Errorf("pushed as %q, want %s; the engine pushed %d times", got, want, w.enginePushes()-before)
		}
	}
	w.tidy(t)
}
