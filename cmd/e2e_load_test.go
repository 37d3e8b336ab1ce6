//go:build e2e && linux

package cmd_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/vicr-cli/vicr/internal/testkit"
)

// A loadWorld is a registry that writes down its requests, and an engine that
// is not reached by a unix socket, as one elsewhere: images are loaded into it and
// saved out of it.
type loadWorld struct {
	*testkit.Rig
	vicr     string
	host     string // DOCKER_HOST
	registry *testkit.Process
	read     int // bytes of the registry's log
}

const plainRegistry = testkit.RigAddress + ":5000"

func newLoadWorld(t *testing.T) *loadWorld {
	t.Helper()
	w := &loadWorld{Rig: testkit.NewRig(t)}
	w.vicr = filepath.Join(w.Dir, "vicr")
	if out, err := exec.Command("go", "build", "-o", w.vicr, "..").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	config := filepath.Join(w.Dir, "registry.yml")
	w.must(t, "sh", "-c", `printf 'version: 0.1\nlog: {level: warn}\nstorage: {filesystem: {rootdirectory: `+w.Dir+`/registry}}\nhttp: {addr: ":5000"}\n' >`+config)
	w.registry = w.Launch(t, testkit.Need(t, "docker-registry", "docker-registry"), "serve", config)
	testkit.Until(t, "docker-registry", func() bool {
		return w.Command(t.Context(), "bash", "-c", "exec 3<>/dev/tcp/"+testkit.RigAddress+"/5000").Run() == nil
	})
	w.seedLayers(t, "base:1", 3)
	w.seedLayers(t, "app:1", 4)
	w.requests()
	return w
}

func (w *loadWorld) must(t *testing.T, argv ...string) testkit.Run {
	t.Helper()
	r := w.Run(t, "", argv...)
	if r.Code != 0 {
		t.Fatalf("%s: exit %d\n%s%s", strings.Join(argv, " "), r.Code, r.Stdout, r.Stderr)
	}
	return r
}

func (w *loadWorld) run(t *testing.T, args ...string) string {
	t.Helper()
	return w.must(t, append([]string{"env", "DOCKER_HOST=" + w.host, w.vicr, args[0], "--plain-http"}, args[1:]...)...).Stdout
}

func (w *loadWorld) docker(t *testing.T, args ...string) string {
	t.Helper()
	return w.must(t, append([]string{"docker", "-H", w.DockerHost()}, args...)...).Stdout
}

// seedLayers puts an image of so many layers into the registry, the lowest of
// which are those of every other.
func (w *loadWorld) seedLayers(t *testing.T, name string, layers int) {
	t.Helper()
	img, err := testkit.SpeakingImage(testkit.Need(t, "busybox", "busybox-static"), word)
	if err != nil {
		t.Fatal(err)
	}
	for i := range layers - 1 {
		l := layerOf(t, noiseTar(t, fmt.Sprintf("noise%d", i), i))
		if img, err = mutate.AppendLayers(img, l); err != nil {
			t.Fatal(err)
		}
	}
	archive := filepath.Join(w.Dir, "seed.tar")
	if err := testkit.WriteArchive(archive, "app:1", img); err != nil {
		t.Fatal(err)
	}
	w.must(t, testkit.Need(t, "skopeo", "skopeo"), "copy", "--insecure-policy", "--dest-tls-verify=false", "docker-archive:"+archive, "docker://"+plainRegistry+"/library/"+name)
}

var plainRequest = regexp.MustCompile(`"(GET|HEAD|POST|PATCH|PUT) (/v2/\S+) HTTP/1.1" (\d+)`)

// requests are those that the registry got since the last call: METHOD PATH STATUS.
func (w *loadWorld) requests() (all []string) {
	time.Sleep(100 * time.Millisecond) // for the last of them to be written down
	log := w.registry.Log()
	for _, m := range plainRequest.FindAllStringSubmatch(log[w.read:], -1) {
		all = append(all, m[1]+" "+m[2]+" "+m[3])
	}
	w.read = len(log)
	return all
}

func counted(requests []string, words ...string) (n int) {
	for _, r := range requests {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(r, w) }) {
			n++
		}
	}
	return n
}

// layersOf are the digests of the layers of an image in the registry.
func (w *loadWorld) layersOf(t *testing.T, name string) []string {
	t.Helper()
	var seen struct{ Layers []string }
	if err := json.Unmarshal([]byte(w.must(t, "skopeo", "inspect", "--tls-verify=false", "docker://"+name).Stdout), &seen); err != nil {
		t.Fatal(err)
	}
	w.requests()
	return seen.Layers
}

// build commits a layer with a file of so many KiB of noise upon a base.
func (w *loadWorld) build(t *testing.T, base, name string, kib int) {
	t.Helper()
	file := filepath.Join(w.Dir, "noise")
	w.must(t, "dd", "if=/dev/urandom", "of="+file, "bs=1024", fmt.Sprintf("count=%d", kib), "status=none")
	id := strings.TrimSpace(w.docker(t, "create", base))
	w.docker(t, "cp", file, id+":/noise")
	w.docker(t, "commit", id, name)
	w.docker(t, "rm", id)
}

func TestRealLoadAndSave(t *testing.T) {
	for kind, d := range map[string]testkit.Dockerd{"docker 20.10": {}, "newest docker": testkit.NewestDockerd(t)} {
		t.Run(kind, func(t *testing.T) {
			w := newLoadWorld(t)
			d.Args = append(d.Args, "-H", "tcp://127.0.0.1:2375", "--tls=false")
			w.StartDockerd(t, d)
			w.host = "tcp://127.0.0.1:2375"
			w.pulls(t)
			w.pushes(t)
		})
	}
}

const base1, app1, app2, app3 = plainRegistry + "/library/base:1", plainRegistry + "/library/app:1", plainRegistry + "/library/app:2", plainRegistry + "/library/app:3"

func (w *loadWorld) pulls(t *testing.T) {
	t.Helper()
	w.run(t, "pull", base1)
	if asked := w.requests(); counted(asked, "GET", "/blobs/") != 4 || counted(asked, "") > 6 {
		t.Errorf("the first pull took %q", asked)
	}
	w.run(t, "pull", app1)
	if asked := w.requests(); counted(asked, "GET", "/blobs/") != 2 || counted(asked, "") > 4 {
		t.Errorf("the pull of one new layer took %q", asked)
	}
	w.run(t, "pull", app1)
	if asked := w.requests(); counted(asked, "") > 2 || counted(asked, "/blobs/") != 0 {
		t.Errorf("the pull of what is there took %q", asked)
	}
	w.unpacked(t, app1)
}

func (w *loadWorld) pushes(t *testing.T) {
	t.Helper()
	w.docker(t, "tag", app1, app2)
	w.requests()
	w.run(t, "push", app2)
	if asked := w.requests(); counted(asked, "PATCH")+counted(asked, "PUT", "/blobs/") != 0 || counted(asked, "PUT", "/manifests/") != 1 {
		t.Errorf("the push of what is there took %q", asked)
	}
	below := w.layersOf(t, app1)
	if got := w.layersOf(t, app2); !slices.Equal(got, below) {
		t.Errorf("the layers were %q and are %q", below, got)
	}

	w.build(t, app2, app3, 2000)
	w.requests()
	first := w.run(t, "push", app3)
	if asked := w.requests(); counted(asked, "PUT", "/blobs/") != 2 {
		t.Errorf("the push of one new layer took %q", asked)
	}
	if got := w.layersOf(t, app3); len(got) != 5 || !slices.Equal(got[:4], below) {
		t.Errorf("the layers below were %q and are %q", below, got)
	}
	if again := w.run(t, "push", app3); again != first {
		t.Errorf("the same image was pushed as %s and as %s", first, again)
	}
	if asked := w.requests(); len(asked) != 1 || counted(asked, "HEAD", "/manifests/") != 1 {
		t.Errorf("the second push took %q", asked)
	}
	for _, name := range []string{app2, app3} {
		w.run(t, "pull", "--to", "oci:"+filepath.Join(w.Dir, "out-"+name[len(name)-1:]), name)
	}
	w.docker(t, "rmi", "-f", app1, app2, app3, base1)
	w.run(t, "pull", app3)
	w.unpacked(t, app3)
}

// unpacked takes a file of each seeded layer out of a container: the newest
// engine cannot start one with the runc of Debian 12, which knows no time namespaces.
func (w *loadWorld) unpacked(t *testing.T, image string) {
	t.Helper()
	id := strings.TrimSpace(w.docker(t, "create", image))
	for i := range 3 {
		name := fmt.Sprintf("noise%d", i)
		w.docker(t, "cp", id+":/"+name, filepath.Join(w.Dir, name))
		got, err := os.ReadFile(filepath.Join(w.Dir, name))
		if err != nil || !bytes.Contains(noiseTar(t, name, i), got) || len(got) != 200_000 {
			t.Errorf("%s: %s came out with %d bytes (%v)", image, name, len(got), err)
		}
	}
	w.docker(t, "rm", id)
}

// noiseTar is a layer with a file of 200 KB that cannot be compressed.
func noiseTar(t *testing.T, name string, seed int) []byte {
	t.Helper()
	data := make([]byte, 200_000)
	r := rand.New(rand.NewPCG(uint64(seed), 1)) //nolint:gosec // noise that is the same each time
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(data))}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func layerOf(t *testing.T, data []byte) v1.Layer {
	t.Helper()
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil })
	if err != nil {
		t.Fatal(err)
	}
	return l
}
