//go:build e2e && linux

package testkit

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Until waits until ready says so.
func Until(t *testing.T, what string, ready func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if ready() {
			return
		}
	}
	t.Fatalf("%s: not ready after 30 s", what)
}

// Tools is where testdata/e2e-tools.sh puts the engines that Debian lacks.
func Tools(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("VICR_E2E_BIN"); dir != "" {
		return dir
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(cache, "vicr-e2e", "bin")
}

// NeedTool fails the test, saying how to get it, when one of [Tools] is missing.
func NeedTool(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(Tools(t), name)
	if _, err := os.Stat(path); err != nil {
		how := "make e2e-tools"
		if strings.HasPrefix(name, "token-fault") || strings.HasPrefix(name, "distribution") {
			how = "FULL=1 " + how
		}
		t.Fatalf("%s is missing: %s", path, how)
	}
	return path
}

// Full says whether everything was asked for, by FULL=1.
func Full() bool { return os.Getenv("FULL") != "" }

// A Dockerd says which dockerd is started, and how.
type Dockerd struct {
	Program string   // "": that of Debian's docker.io
	Args    []string // more of them
	Env     []string
	// Script starts it as Debian's scripts do, with $DOCKER_OPTS out of
	// /etc/default/docker.
	Script bool
}

// NewestDockerd is one of the present line, with the containerd store.
func NewestDockerd(t *testing.T) Dockerd {
	t.Helper()
	return Dockerd{Program: NeedTool(t, "dockerd"), Env: []string{"PATH=" + withContainerd(t)}}
}

// FaultyDockerd is one of the 29.0 line: with the containerd store it asks for
// tokens without the CA of the registry (moby/moby#51080; mended in 29.5).
func FaultyDockerd(t *testing.T) Dockerd {
	t.Helper()
	return Dockerd{Program: NeedTool(t, "token-fault/dockerd"), Env: []string{"PATH=" + withContainerd(t)}}
}

// withContainerd is a PATH where containerd 2 comes first: dockerd starts its own.
func withContainerd(t *testing.T) string {
	t.Helper()
	NeedTool(t, "containerd")
	NeedTool(t, "containerd-shim-runc-v2")
	return Tools(t) + ":" + os.Getenv("PATH")
}

// Dockerd starts Debian's engine and returns its DOCKER_HOST, which is good
// outside the rig too.
func (r *Rig) Dockerd(t *testing.T) string {
	t.Helper()
	r.StartDockerd(t, Dockerd{})
	return r.DockerHost()
}

// DockerHost is the rig's engine as seen from outside it. Inside it is at
// /var/run/docker.sock, as usual.
func (r *Rig) DockerHost() string { return "unix://" + filepath.Join(r.Dir, "docker.sock") }

// StartDockerd starts an engine that reads /etc/docker/daemon.json and writes
// /var/run/docker.pid, and waits until it answers.
func (r *Rig) StartDockerd(t *testing.T, d Dockerd) *Process {
	t.Helper()
	p := r.LaunchDockerd(t, d)
	r.AwaitDockerd(t)
	return p
}

// AwaitDockerd waits until the rig's engine answers.
func (r *Rig) AwaitDockerd(t *testing.T) {
	t.Helper()
	Until(t, "dockerd", func() bool { return r.Answers("/run/docker.sock", "/_ping") })
}

// Answers says whether a server at a socket of the rig answers a path with 200.
// The path must have no links in it: they would lead out of the rig.
func (r *Rig) Answers(socket, path string) bool {
	c := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", r.Etc(socket))
		},
	}}
	resp, err := c.Get("http://d" + path)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// LaunchDockerd starts an engine that need not come up.
func (r *Rig) LaunchDockerd(t *testing.T, d Dockerd) *Process {
	t.Helper()
	Need(t, "docker", "docker.io")
	if d.Program == "" {
		d.Program = Need(t, "dockerd", "docker.io")
	}
	var argv []string
	if len(d.Env) > 0 {
		argv = append([]string{"env"}, d.Env...)
	}
	if d.Script {
		argv = append(argv, "sh", "-c", `. /etc/default/docker; exec "$@" $DOCKER_OPTS`, "sh")
	}
	argv = append(argv, d.Program, "--data-root", filepath.Join(r.Dir, "docker-data"),
		"-H", "unix:///var/run/docker.sock", "-H", r.DockerHost(),
		"--iptables=false", "--ip6tables=false", "--bridge=none")
	return r.Launch(t, append(argv, d.Args...)...)
}

// OldDocker is Debian's docker, which asks the BuildKit in dockerd by itself;
// newer ones leave that to buildx, which Debian lacks.
func OldDocker(t *testing.T) string {
	t.Helper()
	return Need(t, "/usr/bin/docker", "docker.io")
}

// A Containerd is a running containerd and the ctr that belongs to it.
type Containerd struct {
	*Process
	ctr string
	dir string // scratch folder
}

const containerdSocket = "/run/containerd/containerd.sock"

// Ctr is the argv of its ctr.
func (c *Containerd) Ctr(args ...string) []string {
	return append([]string{c.ctr, "-a", containerdSocket}, args...)
}

// OldContainerd starts Debian's, 1.6.
func (r *Rig) OldContainerd(t *testing.T) *Containerd {
	t.Helper()
	return r.containerd(t, Need(t, "containerd", "containerd"), Need(t, "ctr", "containerd"), os.Getenv("PATH"))
}

// NewContainerd starts one of the 2 line.
func (r *Rig) NewContainerd(t *testing.T) *Containerd {
	t.Helper()
	return r.containerd(t, NeedTool(t, "containerd"), NeedTool(t, "ctr"), withContainerd(t))
}

// containerd reads /etc/containerd/config.toml. Its data cannot lie in
// /var/lib: overlayfs does not stack.
func (r *Rig) containerd(t *testing.T, program, ctr, path string) *Containerd {
	t.Helper()
	c := &Containerd{ctr: ctr, dir: r.Dir}
	c.Process = r.Launch(t, "env", "PATH="+path, program, "--root", filepath.Join(r.Dir, "containerd"))
	Until(t, "containerd", func() bool {
		return r.Command(t.Context(), c.Ctr("version")...).Run() == nil
	})
	return c
}

// CRI is the argv that has its CRI plugin pull an image, whose name comes after.
func (c *Containerd) CRI(t *testing.T) []string {
	t.Helper()
	program := filepath.Join(c.dir, "cripull")
	cmd := exec.Command("go", "build", "-o", program, "github.com/vicr-cli/vicr/internal/testkit/testdata/cripull")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return []string{program, containerdSocket}
}

// PodmanService starts podman's Docker-compatible service and returns its
// DOCKER_HOST inside the rig.
func (r *Rig) PodmanService(t *testing.T) (*Process, string) {
	t.Helper()
	const socket = "/run/podman/podman.sock"
	if err := os.MkdirAll(r.Etc(filepath.Dir(socket)), 0o755); err != nil {
		t.Fatal(err)
	}
	p := r.Launch(t, Need(t, "podman", "podman"), "system", "service", "--time=0", "unix://"+socket)
	Until(t, "podman", func() bool { return r.Answers(socket, "/_ping") })
	return p, "unix://" + socket
}

// GoFetcher builds a Go program that gets a URL with the system's roots and
// prints the status.
func (r *Rig) GoFetcher(t *testing.T) string {
	t.Helper()
	const source = `package main

import (
	"fmt"
	"net/http"
	"os"
)

func main() {
	resp, err := http.Get(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(resp.Status)
}
`
	file, program := filepath.Join(r.Dir, "fetch.go"), filepath.Join(r.Dir, "fetch")
	if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-o", program, file)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return program
}
