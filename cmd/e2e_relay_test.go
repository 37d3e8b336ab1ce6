//go:build e2e && linux

package cmd_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/testkit"
)

// A relayWorld is a world with an engine that trusts no registry: whatever it
// pulls or pushes itself goes through the relay.
type relayWorld struct {
	*world
	host   string
	docker []string
	engine *testkit.Process
	read   int // bytes of the registry's log
}

func newRelayWorld(t *testing.T, d testkit.Dockerd) *relayWorld {
	t.Helper()
	w := &relayWorld{world: newWorld(t)}
	w.engine = w.StartDockerd(t, d)
	w.host = w.DockerHost()
	w.docker = []string{"docker", "-H", w.host}
	w.must(t, w.vicr, "trust", registryHost, "--for", "vicr", "--ca-file", w.write(t, "ca.crt", w.ca.PEM()),
		"--fingerprint", pki.SHA256(w.ca.Certificate).String())
	w.login(t)
	w.requests()
	return w
}

func (w *relayWorld) argv(args ...string) []string {
	return append([]string{"env", "DOCKER_HOST=" + w.host, w.vicr}, args...)
}

func (w *relayWorld) run(t *testing.T, args ...string) string {
	t.Helper()
	return w.must(t, w.argv(args...)...).Stdout
}

func (w *relayWorld) dockerRun(t *testing.T, args ...string) string {
	t.Helper()
	return w.must(t, append(slices.Clone(w.docker), args...)...).Stdout
}

var requestLine = regexp.MustCompile(`"(GET|HEAD|POST|PATCH|PUT|DELETE) (/v2/\S*) HTTP/1.1" (\d+)`)

// requests are those that the registry got since the last call, as METHOD PATH
// STATUS, without those that ask for a password.
func (w *relayWorld) requests() (all []string) {
	time.Sleep(100 * time.Millisecond) // for the last of them to be written down
	log := w.registry.Log()
	for _, m := range requestLine.FindAllStringSubmatch(log[w.read:], -1) {
		if m[2] != "/v2/" && m[3] != "401" {
			all = append(all, m[1]+" "+m[2]+" "+m[3])
		}
	}
	w.read = len(log)
	return all
}

// tally is how many of the requests have all of the words in them.
func tally(requests []string, words ...string) (n int) {
	for _, r := range requests {
		has := true
		for _, word := range words {
			has = has && strings.Contains(r, word)
		}
		if has {
			n++
		}
	}
	return n
}

// An inspected is what the engine says of an image.
type inspected struct {
	ID                    string `json:"Id"`
	RepoTags, RepoDigests []string
}

func (w *relayWorld) inspect(t *testing.T, name string) inspected {
	t.Helper()
	var all []inspected
	if err := json.Unmarshal([]byte(w.dockerRun(t, "image", "inspect", name)), &all); err != nil || len(all) != 1 {
		t.Fatalf("%s: %v, %v", name, all, err)
	}
	return all[0]
}

// layersAt are the digests of the layers that a registry has of an image.
func (w *relayWorld) layersAt(t *testing.T, name string) (digests []string) {
	t.Helper()
	r := w.must(t, "skopeo", "inspect", "--tls-verify=false", "--creds="+user+":"+password, "docker://"+name)
	var seen struct{ Layers []string }
	if err := json.Unmarshal([]byte(r.Stdout), &seen); err != nil {
		t.Fatal(err)
	}
	w.requests()
	return seen.Layers
}

// tidy checks that nothing of the relay is left, neither in the engine nor on disk.
func (w *relayWorld) tidy(t *testing.T) {
	t.Helper()
	if names := w.relayNames(t); names != "" {
		t.Errorf("names of the relay are left: %s", names)
	}
	if left, err := os.ReadDir(w.names()); err != nil && !os.IsNotExist(err) || len(left) > 0 {
		t.Errorf("left in the state folder: %v, %v", left, err)
	}
}

var callLine = regexp.MustCompile(`Calling [A-Z]+ /\S*|spanName="?[A-Z]+ \S*|method=[A-Z]+ .*request-url="?[^" ]*`)

// calls are those of its API that an engine with -D wrote down.
func (w *relayWorld) calls(p *testkit.Process) string {
	return strings.Join(callLine.FindAllString(p.Log(), -1), "\n")
}

func (w *relayWorld) names() string { return filepath.Join(w.Dir, "home/.local/state/vicr/relay") }

func (w *relayWorld) relayNames(t *testing.T) string {
	t.Helper()
	var names []string
	for line := range strings.Lines(w.dockerRun(t, "images", "--digests", "--format", "{{.Repository}}:{{.Tag}}@{{.Digest}}")) {
		if strings.HasPrefix(line, "127.0.0.1:") {
			names = append(names, strings.TrimSpace(line))
		}
	}
	return strings.Join(names, " ")
}

// build commits a layer with a file of so many KiB of noise upon a base.
func (w *relayWorld) build(t *testing.T, base, name string, kib int) {
	t.Helper()
	file := filepath.Join(w.Dir, "noise")
	w.must(t, "dd", "if=/dev/urandom", "of="+file, "bs=1024", fmt.Sprintf("count=%d", kib), "status=none")
	id := strings.TrimSpace(w.dockerRun(t, "create", base))
	w.dockerRun(t, "cp", file, id+":/noise-"+filepath.Base(id)[:8])
	w.dockerRun(t, "commit", id, name)
	w.dockerRun(t, "rm", id)
}

type namedEngine struct {
	name   string
	engine func(*testing.T) testkit.Dockerd
	keeps  bool // the containerd store
}

func relayEngines() []namedEngine {
	return []namedEngine{
		{"dockerd 20.10", func(*testing.T) testkit.Dockerd { return testkit.Dockerd{} }, false},
		{"dockerd newest", testkit.NewestDockerd, true},
	}
}

func eachRelayEngine(t *testing.T, test func(*testing.T, *relayWorld, namedEngine)) {
	t.Helper()
	for _, e := range relayEngines() {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			d := e.engine(t)
			d.Env = append(d.Env, "HTTP_PROXY=http://192.0.2.9:1", "HTTPS_PROXY=http://192.0.2.9:1") // not for loopback
			d.Args = append(d.Args, "-D")
			test(t, newRelayWorld(t, d), e)
		})
	}
}

func TestRealRelayPullsAndPushes(t *testing.T) {
	t.Parallel()
	eachRelayEngine(t, func(t *testing.T, w *relayWorld, e namedEngine) {
		t.Helper()
		base, onBase := registryHost+"/library/app:1", registryHost+"/demo/new:1"

		w.pinned(t, w.run(t, "pull", base), base)
		asked := w.requests()
		asked = asked[:len(asked)-tally(asked, "HEAD")] // skopeo's, of pinned
		if gets := tally(asked, "GET", "/library/app/"); gets < 3 || tally(asked, "/blobs/sha256:") > 2+gets {
			t.Errorf("the pull took %q", asked)
		}
		if calls := w.calls(w.engine); !strings.Contains(calls, "/images/create") || strings.Contains(calls, "/images/load") {
			t.Errorf("the engine did not pull by itself: %s", calls)
		}
		got := w.inspect(t, base)
		if !slices.Equal(got.RepoTags, []string{base}) || len(got.RepoDigests) > 1 {
			t.Errorf("the engine knows it as %q, %q", got.RepoTags, got.RepoDigests)
		}
		w.tidy(t)

		w.requests()
		w.run(t, "pull", base)
		if asked := w.requests(); len(asked) != 1 || !strings.HasPrefix(asked[0], "HEAD /v2/library/app/manifests/1 ") {
			t.Errorf("the second pull took %q", asked)
		}

		baseLayers := w.layersAt(t, base)
		w.build(t, base, onBase, 100)
		w.pinned(t, w.run(t, "push", onBase), onBase)
		asked = w.requests()
		for _, digest := range baseLayers {
			if tally(asked, "POST", "mount="+strings.ReplaceAll(digest, ":", "%3A"), "201") != 1 {
				t.Errorf("%s was not mounted: %q", digest, asked)
			}
		}
		if sent := tally(asked, "PUT", "/demo/new/blobs/", "201"); sent != 2 {
			t.Errorf("%d blobs were sent, want the new layer and the config: %q", sent, asked)
		}
		if layers := w.layersAt(t, onBase); len(layers) != len(baseLayers)+1 || !slices.Equal(layers[:len(baseLayers)], baseLayers) {
			t.Errorf("the layers are %q, the base's %q", layers, baseLayers)
		}
		w.tidy(t)

		w.requests()
		w.run(t, "push", onBase)
		if asked := w.requests(); len(asked) != 1 || !strings.HasPrefix(asked[0], "HEAD /v2/demo/new/manifests/1 ") {
			t.Errorf("the second push took %q", asked)
		}
		id := w.inspect(t, onBase).ID
		w.dockerRun(t, "rmi", onBase)
		w.run(t, "pull", onBase)
		if again := w.inspect(t, onBase).ID; again != id {
			t.Errorf("pushed as %s, it came back as %s", id, again)
		}
		w.tidy(t)
		if e.keeps { // it wants a time namespace of runc, which Debian's does not know
			return
		}
		if said := w.dockerRun(t, "run", "--rm", "--network=none", onBase); strings.TrimSpace(said) != word {
			t.Errorf("the container said %q, want %q", said, word)
		}
	})
}

// relayAddr waits for a run that uses a relay and says where that listens.
func (w *relayWorld) relayAddr(t *testing.T) (addr, name string) {
	t.Helper()
	testkit.Until(t, "a relay", func() bool {
		files, _ := filepath.Glob(filepath.Join(w.names(), "*.json"))
		if len(files) == 0 {
			return false
		}
		raw, _ := os.ReadFile(files[0])
		var n struct{ Name string }
		_ = json.Unmarshal(raw, &n)
		addr, _, _ = strings.Cut(n.Name, "/")
		name = n.Name
		return addr != ""
	})
	return addr, name
}

func TestRealRelayIsClosedToOthers(t *testing.T) {
	t.Parallel()
	testkit.Need(t, "curl", "curl")
	eachRelayEngine(t, func(t *testing.T, w *relayWorld, _ namedEngine) {
		t.Helper()
		name := registryHost + "/demo/large:1"
		w.run(t, "pull", registryHost+"/library/app:1")
		w.build(t, registryHost+"/library/app:1", name, 60<<10)
		p := w.Launch(t, w.argv("push", name)...)
		addr, _ := w.relayAddr(t)
		status := func(args ...string) string {
			return w.Run(t, "", append([]string{"curl", "-s", "-o", "/dev/null", "-w", "%{http_code}"}, args...)...).Stdout
		}
		for _, path := range []string{"/v2/", "/v2/demo/large/manifests/1", "/v2/demo/large/tags/list", "/v2/library/app/manifests/1", "/", "/v2/_catalog"} {
			for _, as := range [][]string{{}, {"-u", "vicr:"}, {"-u", user + ":" + password}} {
				if got := status(append(as, "http://"+addr+path)...); got != "401" {
					t.Errorf("%s as %v: %s", path, as, got)
				}
			}
		}
		if got := status("-X", "POST", "http://"+addr+"/v2/demo/large/blobs/uploads/"); got != "401" {
			t.Errorf("an upload was begun: %s", got)
		}
		p.Wait(t)
		if got := status("http://" + addr + "/v2/"); got != "000" {
			t.Errorf("after the end it still listens: %s", got)
		}
		w.tidy(t)
	})
}

func TestRealRelayLeavesNothingWhenInterrupted(t *testing.T) {
	t.Parallel()
	eachRelayEngine(t, func(t *testing.T, w *relayWorld, _ namedEngine) {
		t.Helper()
		base, name := registryHost+"/library/app:1", registryHost+"/demo/large:1"
		w.run(t, "pull", base)
		w.build(t, base, name, 200<<10)

		p := w.Launch(t, w.argv("push", name)...)
		w.relayAddr(t)
		testkit.Until(t, "the name", func() bool { return w.relayNames(t) != "" })
		begun := time.Now()
		p.Signal(t, syscall.SIGINT)
		if code := p.Wait(t); code != 130 || time.Since(begun) > time.Second {
			t.Errorf("Ctrl-C: exit %d after %s", code, time.Since(begun))
		}
		if names := w.relayNames(t); names != "" {
			t.Errorf("after Ctrl-C the engine has %s", names)
		}

		p = w.Launch(t, w.argv("push", name)...)
		testkit.Until(t, "the name", func() bool { return w.relayNames(t) != "" })
		p.Signal(t, syscall.SIGKILL)
		p.Wait(t)
		if w.relayNames(t) == "" {
			t.Fatal("the kill came too late")
		}
		w.run(t, "pull", base) // of anything
		w.tidy(t)
		w.pinned(t, w.run(t, "push", name), name)
		w.tidy(t)
	})
}

// A run that is killed in mid-pull, while the engine unpacks, has its name
// taken away by the next.
func TestRealRelayKilledInMidPull(t *testing.T) {
	t.Parallel()
	eachRelayEngine(t, func(t *testing.T, w *relayWorld, _ namedEngine) {
		t.Helper()
		base, name := registryHost+"/library/app:1", registryHost+"/demo/hollow:1"
		w.run(t, "pull", base)
		zeros := filepath.Join(w.Dir, "zeros")
		w.must(t, "truncate", "-s", "600M", zeros) // takes long to unpack and none to send
		id := strings.TrimSpace(w.dockerRun(t, "create", base))
		w.dockerRun(t, "cp", zeros, id+":/zeros")
		w.dockerRun(t, "commit", id, name)
		w.dockerRun(t, "rm", id)
		w.run(t, "push", name)
		layer := w.layersAt(t, name)[1]
		w.dockerRun(t, "rmi", name)

		p := w.Launch(t, w.argv("pull", name)...)
		testkit.Until(t, "the layer", func() bool { return tally(w.requests(), "GET", layer) > 0 })
		p.Signal(t, syscall.SIGSTOP) // nobody takes the name away now
		testkit.Until(t, "the name", func() bool { return w.relayNames(t) != "" })
		p.Signal(t, syscall.SIGKILL)
		p.Wait(t)
		if r := w.Run(t, "", append(slices.Clone(w.docker), "image", "inspect", name)...); r.Code == 0 {
			t.Fatal("the kill came too late")
		}
		w.requests()
		w.run(t, "pull", name) // what the engine has is given its name
		if asked := w.requests(); tally(asked, "/blobs/") > 0 {
			t.Errorf("what was pulled is asked for again: %q", asked)
		}
		w.tidy(t)
	})
}
