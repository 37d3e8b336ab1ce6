//go:build e2e && linux

package cmd_test

import (
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/testkit"
)

// archiveWorld is a world with an engine and a user who is logged in.
func archiveWorld(t *testing.T, start func(w *world)) (w *world, docker []string) {
	t.Helper()
	w = newWorld(t)
	start(w)
	w.must(t, w.vicr, "trust", registryHost, "--for", "vicr", "--ca-file", w.write(t, "ca.crt", w.ca.PEM()), "--fingerprint", pki.SHA256(w.ca.Certificate).String())
	w.login(t)
	return w, []string{"docker", "-H", w.DockerHost()}
}

// What vicr writes is loaded by engines old and new, under the names that it had;
// what they save is pushed through a pipe, the same each time, and by an engine
// that keeps digests under the digest that it had.
func TestRealArchivesGoInAndOutOfEngines(t *testing.T) {
	t.Parallel()
	for name, engine := range map[string]struct {
		start func(w *world)
		keeps bool // digests
	}{
		"Debian's": {func(w *world) { w.Dockerd(t) }, false},
		"newest":   {func(w *world) { w.StartDockerd(t, testkit.NewestDockerd(t)); w.AwaitDockerd(t) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			w, docker := archiveWorld(t, engine.start)
			app, ubuntu := registryHost+"/library/app:1", registryHost+"/library/ubuntu:14.04"
			file := filepath.Join(w.Dir, "both.tar")
			w.must(t, w.vicr, "pull", "--to", "docker-archive:"+file, app, ubuntu)
			w.must(t, append(docker, "load", "-i", file)...)
			for _, img := range []string{app, ubuntu} {
				if engine.keeps { // it knows images by their manifests, and Debian's runc is too old for it to run them
					if r := w.must(t, append(docker, "image", "inspect", "--format", "{{.Id}}", img)...); strings.TrimSpace(r.Stdout) != w.skopeoDigest(t, img) {
						t.Errorf("%s is %s in the engine", img, r.Stdout)
					}
				} else if r := w.must(t, append(docker, "run", "--rm", "--network=none", img)...); strings.TrimSpace(r.Stdout) != word {
					t.Errorf("%s said %q, want %q", img, r.Stdout, word)
				}
			}
			seen := map[string]bool{}
			for _, demo := range []string{registryHost + "/demo/app:1", registryHost + "/demo/app:2"} {
				r := w.must(t, "sh", "-c", strings.Join(append(docker, "save", ubuntu), " ")+" | "+w.vicr+" push --from docker-archive:- "+demo)
				w.pinned(t, r.Stdout, demo)
				seen[w.skopeoDigest(t, demo)] = true
			}
			if len(seen) != 1 || engine.keeps && !seen[w.skopeoDigest(t, ubuntu)] {
				t.Errorf("it was pushed as %v, and pulled as %s", seen, w.skopeoDigest(t, ubuntu))
			}
			// Two in one, one of them by its name.
			w.must(t, append(docker, "save", "-o", filepath.Join(w.Dir, "saved.tar"), app, ubuntu)...)
			w.must(t, "gzip", filepath.Join(w.Dir, "saved.tar"))
			r := w.must(t, w.vicr, "push", "--from", "docker-archive:"+filepath.Join(w.Dir, "saved.tar.gz")+":"+ubuntu, registryHost+"/demo/named:1")
			w.pinned(t, r.Stdout, registryHost+"/demo/named:1")
		})
	}
}

// Skopeo and Podman read what vicr writes, under the names that it had.
func TestRealArchivesAreReadBySkopeoAndPodman(t *testing.T) {
	t.Parallel()
	w, _ := archiveWorld(t, func(*world) {})
	testkit.Need(t, "podman", "podman")
	app, ubuntu := registryHost+"/library/app:1", registryHost+"/library/ubuntu:14.04"
	for _, kind := range []string{"oci-archive", "docker-archive"} {
		both, one := filepath.Join(w.Dir, kind+"-both.tar"), filepath.Join(w.Dir, kind+"-one.tar")
		w.must(t, w.vicr, "pull", "--to", kind+":"+both, app, ubuntu)
		w.must(t, "sh", "-c", w.vicr+" pull --to "+kind+":- "+ubuntu+" > "+one)
		w.must(t, "skopeo", "copy", "--insecure-policy", kind+":"+one, "dir:"+one+".dir")
		w.must(t, "skopeo", "copy", "--insecure-policy", kind+":"+both+":"+ubuntu, "oci:"+both+".oci:x")
		r := w.must(t, w.vicr, "push", "--from", "oci:"+both+".oci:x", "--format", "{{.Manifest}}", registryHost+"/demo/"+kind+":1")
		if want := w.skopeoDigest(t, ubuntu); kind == "oci-archive" && strings.TrimSpace(r.Stdout) != want {
			t.Errorf("%s: through skopeo it became %s from %s", kind, r.Stdout, want)
		}
		podman := []string{"podman", "--root", filepath.Join(w.Dir, kind, "root"), "--runroot", filepath.Join(w.Dir, kind, "run"), "--storage-driver", "vfs"}
		w.must(t, append(podman, "load", "-i", one)...)
		if r := w.must(t, append(podman, "images", "--format", "{{.Repository}}:{{.Tag}}")...); strings.TrimSpace(r.Stdout) != ubuntu {
			t.Errorf("%s: podman calls it %q", kind, r.Stdout)
		}
	}
}

// Of an index the newest engine pulls one platform, and saves the index all the
// same: what is there is pushed when it is asked for, and keeps its digest.
func TestRealArchiveOfAnIndexThatIsNotAllThere(t *testing.T) {
	t.Parallel()
	w, docker := archiveWorld(t, func(w *world) { w.StartDockerd(t, testkit.NewestDockerd(t)) })
	ca := filepath.Join(w.Dir, "ca.crt")
	w.must(t, "env", "DOCKER_HOST="+w.DockerHost(), w.vicr, "trust", registryHost, "--for", "docker", "--ca-file", ca, "--fingerprint", pki.SHA256(w.ca.Certificate).String())
	multi := registryHost + "/demo/multi:1"
	all := w.write(t, "all.tar", tarOf(docker29("multi:1", "amd64", "arm64")))
	w.must(t, w.vicr, "push", "--from", "oci-archive:"+all, multi)
	w.must(t, append(docker, "pull", multi)...)
	save := strings.Join(append(docker, "save", multi), " ") + " | " + w.vicr + " push --from docker-archive:- "
	one := registryHost + "/demo/one:1"
	if r := w.Run(t, "", "sh", "-c", save+one); r.Code != 5 || !strings.Contains(r.Stderr, "--platform takes one of: linux/"+runtime.GOARCH) {
		t.Errorf("exit %d\n%s", r.Code, r.Stderr)
	}
	w.must(t, "sh", "-c", save+"--platform linux/"+runtime.GOARCH+" "+one)
	want := w.must(t, w.vicr, "inspect", "--platform", "linux/"+runtime.GOARCH, "--raw", multi)
	if got := w.skopeoDigest(t, one); got != "sha256:"+sha([]byte(want.Stdout)) {
		t.Errorf("it was pushed as %s", got)
	}
}
