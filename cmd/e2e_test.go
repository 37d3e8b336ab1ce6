//go:build e2e && linux

package cmd_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/testkit"
)

// The end-to-end tests need root and Debian's docker.io, docker-registry,
// skopeo, busybox-static, apache2-utils and iproute2: make e2e names what is missing.

const (
	registryHost = testkit.RigAddress + ":5443"
	user         = "dev"
	password     = "c0rrect-h0rse"
	word         = "ahoy-from-the-container"
)

// world is a rig with a TLS registry of a private CA and password file, and an
// image in it.
type world struct {
	*testkit.Rig
	vicr string
	ca   *testkit.Cert
	leaf *testkit.Cert

	registry *testkit.Process // its log has a line for each request
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{Rig: testkit.NewRig(t)}
	w.vicr = filepath.Join(w.Dir, "vicr")
	if out, err := exec.Command("go", "build", "-o", w.vicr, "..").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	w.ca = testkit.NewCA(t)
	w.leaf = w.ca.NewLeaf(t, testkit.SANs(testkit.RigAddress, "2001:db8::2", "registry.test"))
	w.startRegistry(t)
	w.seed(t)
	return w
}

func (w *world) write(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(w.Dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (w *world) startRegistry(t *testing.T) {
	t.Helper()
	program := testkit.Need(t, "docker-registry", "docker-registry")
	testkit.Need(t, "htpasswd", "apache2-utils")
	passwords := w.Run(t, password+"\n", "htpasswd", "-niB", user)
	config := `version: 0.1
log: {level: warn}
storage: {filesystem: {rootdirectory: ` + w.Dir + `/registry}, delete: {enabled: true}}
auth: {htpasswd: {realm: example, path: ` + w.write(t, "htpasswd", []byte(passwords.Stdout)) + `}}
http:
  addr: :5443
  tls:
    certificate: ` + w.write(t, "leaf.crt", append(w.leaf.PEM(), w.ca.PEM()...)) + `
    key: ` + w.write(t, "leaf.key", w.leaf.KeyPEM(t)) + `
`
	w.registry = w.Launch(t, program, "serve", w.write(t, "registry.yml", []byte(config)))
	testkit.Until(t, "docker-registry", func() bool {
		return w.Command(t.Context(), "bash", "-c", "exec 3<>/dev/tcp/"+testkit.RigAddress+"/5443").Run() == nil
	})
}

// seed puts images into the registry by a tool that is not vicr.
func (w *world) seed(t *testing.T) {
	t.Helper()
	testkit.Need(t, "skopeo", "skopeo")
	img, err := testkit.SpeakingImage(testkit.Need(t, "busybox", "busybox-static"), word)
	if err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(w.Dir, "app.tar")
	if err := testkit.WriteArchive(archive, "app:1", img); err != nil {
		t.Fatal(err)
	}
	for name, format := range map[string]string{"library/app:1": "v2s2", "library/ubuntu:14.04": "oci"} {
		w.must(t, "skopeo", "copy", "--insecure-policy", "--format="+format, "--dest-tls-verify=false", "--dest-creds="+user+":"+password,
			"docker-archive:"+archive, "docker://"+registryHost+"/"+name)
	}
}

// must runs a program that has to succeed.
func (w *world) must(t *testing.T, argv ...string) testkit.Run {
	t.Helper()
	r := w.Run(t, "", argv...)
	if r.Code != 0 {
		t.Fatalf("%s: exit %d\n%s%s", strings.Join(argv, " "), r.Code, r.Stdout, r.Stderr)
	}
	return r
}

func (w *world) login(t *testing.T) {
	t.Helper()
	if r := w.Run(t, password+"\n", w.vicr, "login", registryHost, "-u", user, "--password-stdin"); r.Code != 0 {
		t.Fatalf("login: exit %d\n%s", r.Code, r.Stderr)
	}
}

// skopeoDigest is what a program that is not ours sees under a name.
func (w *world) skopeoDigest(t *testing.T, name string) string {
	t.Helper()
	r := w.must(t, "skopeo", "inspect", "--tls-verify=false", "--creds="+user+":"+password, "docker://"+name)
	var seen struct{ Digest string }
	if err := json.Unmarshal([]byte(r.Stdout), &seen); err != nil {
		t.Fatal(err)
	}
	return seen.Digest
}

// pinned checks that what vicr printed is name@digest, with the digest that
// skopeo sees.
func (w *world) pinned(t *testing.T, stdout, name string) {
	t.Helper()
	if want := name + "@" + w.skopeoDigest(t, name) + "\n"; stdout != want {
		t.Errorf("vicr printed %q, skopeo sees %q", stdout, want)
	}
}

func TestRealDockerTrustsAfterTrustAndNoMoreAfterUntrust(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	docker := []string{"docker", "-H", w.Dockerd(t)}
	run := func(args ...string) testkit.Run { return w.Run(t, "", append(docker, args...)...) }
	vicr := func(args ...string) testkit.Run {
		return w.Run(t, "", append([]string{"env", "DOCKER_HOST=" + docker[2], w.vicr}, args...)...)
	}
	image := registryHost + "/library/app:1"
	before := w.TreeHash(t, "/etc")

	if r := run("pull", image); r.Code == 0 || !strings.Contains(r.Stderr, "x509") {
		t.Fatalf("without trust docker pull should fail with x509, got exit %d: %s", r.Code, r.Stderr)
	}
	if r := vicr("trust", registryHost, "--for", "docker", "--fingerprint", strings.Repeat("0", 64)); r.Code != 3 {
		t.Errorf("wrong fingerprint: exit %d, want 3", r.Code)
	}
	if r := vicr("trust", registryHost, "--for", "docker"); r.Code != 3 || !strings.Contains(r.Stderr, pki.SHA256(w.ca.Certificate).String()) {
		t.Errorf("no fingerprint and no terminal: exit %d, want 3 and the fingerprint on stderr", r.Code)
	}
	if got := w.TreeHash(t, "/etc"); got != before {
		t.Error("a refused trust has changed /etc")
	}
	ca := w.write(t, "ca.crt", w.ca.PEM())
	for _, f := range []struct{ what, fingerprint string }{{"the CA's", pki.SHA256(w.ca.Certificate).String()}, {"the leaf's", pki.SHA256(w.leaf.Certificate).String()}} {
		r := vicr("trust", registryHost, "--ca-file", ca, "--fingerprint", f.fingerprint)
		if r.Code != 0 || !strings.Contains(r.Stderr, "proven: the Docker engine trusts "+registryHost) {
			t.Fatalf("trust with %s fingerprint: exit %d", f.what, r.Code)
		}
		changed := w.TreeHash(t, "/etc")
		if r := vicr("trust", registryHost, "--ca-file", ca, "--fingerprint", f.fingerprint); r.Code != 0 || !strings.Contains(r.Stdout, "already trusted") {
			t.Errorf("the second trust: exit %d, %q", r.Code, r.Stdout)
		}
		if w.TreeHash(t, "/etc") != changed {
			t.Error("the second trust has changed /etc")
		}
		login := w.Run(t, password, append(docker, "login", registryHost, "-u", user, "--password-stdin")...)
		if login.Code != 0 {
			t.Fatalf("docker login: exit %d", login.Code)
		}
		if r := run("pull", image); r.Code != 0 {
			t.Fatalf("with trust docker pull should work without a restart: exit %d", r.Code)
		}
		if r := run("run", "--rm", "--network=none", image); strings.TrimSpace(r.Stdout) != word {
			t.Errorf("the container said %q, want %q", r.Stdout, word)
		}
		if r := vicr("untrust", registryHost); r.Code != 0 {
			t.Fatalf("untrust: exit %d", r.Code)
		}
		if got := w.TreeHash(t, "/etc"); got != before {
			t.Error("after untrust /etc is not as it was")
		}
		run("rmi", image)
		if r := run("pull", image); r.Code == 0 || !strings.Contains(r.Stderr, "x509") {
			t.Errorf("after untrust docker pull should fail with x509 again, got exit %d", r.Code)
		}
	}
	if _, err := os.Stat(w.Etc("/var/lib/vicr")); !os.IsNotExist(err) {
		t.Errorf("the machine's journal is left behind: %v", err)
	}
}

func TestRealWalkWithAnEngine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	host := w.Dockerd(t)
	vicr := func(args ...string) testkit.Run {
		t.Helper()
		return w.must(t, append([]string{"env", "DOCKER_HOST=" + host, w.vicr}, args...)...)
	}
	ubuntu, demo := registryHost+"/library/ubuntu:14.04", registryHost+"/demo/ubuntu:14.04"
	vicr("trust", registryHost, "--for", "vicr", "--ca-file", w.write(t, "ca.crt", w.ca.PEM()), "--fingerprint", pki.SHA256(w.ca.Certificate).String())
	w.login(t)
	w.pinned(t, vicr("pull", ubuntu).Stdout, ubuntu)
	vicr("tag", ubuntu, demo)
	w.pinned(t, vicr("push", demo).Stdout, demo)
	first := w.skopeoDigest(t, demo)

	docker := []string{"docker", "-H", host}
	w.must(t, append(docker, "tag", ubuntu, "ubuntu:14.04")...)
	w.must(t, append(docker, "rmi", demo)...)
	w.must(t, append(docker, "tag", "ubuntu:14.04", demo)...)
	w.pinned(t, vicr("push", demo).Stdout, demo)
	if second := w.skopeoDigest(t, demo); second != first {
		t.Errorf("the same image was pushed as %s and as %s", first, second)
	}
	w.must(t, append(docker, "rmi", demo)...)
	vicr("pull", demo)
	if r := w.must(t, append(docker, "run", "--rm", "--network=none", demo)...); strings.TrimSpace(r.Stdout) != word {
		t.Errorf("the container said %q, want %q", r.Stdout, word)
	}
}

func TestRealWalkWithoutAnEngine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	vicr := func(args ...string) testkit.Run { t.Helper(); return w.must(t, append([]string{w.vicr}, args...)...) }
	ubuntu, demo := registryHost+"/library/ubuntu:14.04", registryHost+"/demo/ubuntu:14.04"
	vicr("trust", registryHost, "--for", "vicr", "--ca-file", w.write(t, "ca.crt", w.ca.PEM()), "--fingerprint", pki.SHA256(w.ca.Certificate).String())
	w.login(t)
	w.pinned(t, vicr("pull", ubuntu).Stdout, ubuntu)
	vicr("tag", ubuntu, demo)
	w.pinned(t, vicr("push", demo).Stdout, demo)
	if a, b := w.skopeoDigest(t, ubuntu), w.skopeoDigest(t, demo); a != b {
		t.Errorf("pulled as %s and pushed as %s", a, b)
	}
	if got := vicr("ls", "-q", registryHost+"/demo/ubuntu").Stdout; got != "14.04\n" {
		t.Errorf("ls printed %q", got)
	}
	vicr("pull", "--to", "oci:"+w.Dir+"/layout:x", demo)
	r := w.must(t, "skopeo", "inspect", "--raw", "oci:"+w.Dir+"/layout:x")
	if !json.Valid([]byte(r.Stdout)) {
		t.Errorf("skopeo reads %q from the layout that vicr wrote", r.Stdout)
	}
}

func TestRealRegistryRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(t, w.vicr, "trust", registryHost, "--for", "vicr", "--ca-file", w.write(t, "ca.crt", w.ca.PEM()), "--fingerprint", pki.SHA256(w.ca.Certificate).String())
	wrong := w.Run(t, "not-"+password, w.vicr, "login", registryHost, "-u", user, "--password-stdin")
	if wrong.Code != 4 {
		t.Errorf("wrong password: exit %d, want 4", wrong.Code)
	}
	if r := w.Run(t, "", w.vicr, "pull", "--to", "store", registryHost+"/library/app:1"); r.Code != 4 {
		t.Errorf("not logged in: exit %d, want 4", r.Code)
	}
	w.login(t)
	if r := w.Run(t, "", w.vicr, "pull", "--to", "store", registryHost+"/library/none:1"); r.Code != 5 {
		t.Errorf("missing image: exit %d, want 5", r.Code)
	}
	if r := w.Run(t, "", w.vicr, "pull", "--to", "store", testkit.RigAddress+":5999/library/app:1"); r.Code != 6 {
		t.Errorf("registry down: exit %d, want 6", r.Code)
	}
}
