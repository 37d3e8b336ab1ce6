//go:build e2e && linux

package cmd_test

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/sandbox"
	"github.com/vicr-cli/vicr/internal/testkit"
)

// What docs/errors.md says that docker says is what a real docker says of the
// sandbox, whose answers are those that real Harbors were recorded with.
func TestRealDockerSaysWhatTheErrorsPageHas(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "docs", "errors.md"))
	if err != nil {
		t.Fatal(err)
	}
	rig := testkit.NewRig(t)
	img, err := testkit.SpeakingImage(testkit.Need(t, "busybox", "busybox-static"), word)
	if err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(rig.Dir, "app.tar")
	if err := testkit.WriteArchive(archive, "app:1", img); err != nil {
		t.Fatal(err)
	}
	docker := []string{"docker", "-H", rig.Dockerd(t)}
	run := func(stdin string, args ...string) testkit.Run { return rig.Run(t, stdin, append(docker, args...)...) }
	if r := run("", "load", "-i", archive); r.Code != 0 {
		t.Fatal(r.Stderr)
	}
	dev := map[string]sandbox.Role{"dev": sandbox.Developer}
	projects := []sandbox.Project{
		{Name: "full", Members: dev, Quota: 100},
		{Name: "fixed", Members: dev, Images: []string{"app:1"}, Immutable: []string{"1"}},
		{Name: "cache", Members: dev, ProxyCache: true},
		{Name: "risky", Members: dev, Images: []string{"app:1"}, Findings: map[string]int{"High": 3}, Prevent: "High"},
		{Name: "unsigned", Members: dev, Images: []string{"app:1"}, Unsigned: "cosign"},
	}
	for _, tc := range []struct {
		name   string
		like   sandbox.Like
		policy sandbox.Policy
		nobody bool
		verb   string
		image  string
		says   string // and the page has it, with HOST for the registry
	}{
		{"no project", sandbox.Harbor216, sandbox.Policy{}, false, "push", "nope/app:1", "unauthorized: project nope not found: project nope not found"},
		{"no project, 1.x", sandbox.Harbor17, sandbox.Policy{}, false, "push", "nope/app:1", "denied: requested access to the resource is denied"},
		{"no repository", sandbox.Harbor216, sandbox.Policy{}, false, "pull", "demo/none:1", "unknown: repository demo/none not found"},
		{"no tag, 1.x", sandbox.Harbor17, sandbox.Policy{}, false, "pull", "demo/nope:1", "manifest for HOST/demo/nope:1 not found: manifest unknown: manifest unknown"},
		{"nobody", sandbox.Harbor216, sandbox.Policy{}, true, "pull", "demo/app:1", "unauthorized: unauthorized to access repository: demo/app, action: pull: "},
		{"no permission", sandbox.Harbor216, sandbox.Policy{}, false, "push", "library/app:1", "unauthorized: unauthorized to access repository: "},
		{"no permission, 1.x", sandbox.Harbor17, sandbox.Policy{}, false, "push", "library/app:1", "denied: requested access to the resource is denied"},
		{"quota", sandbox.Harbor216, sandbox.Policy{}, false, "push", "full/app:1", "will exceed the configured upper limit of "},
		{"immutable", sandbox.Harbor216, sandbox.Policy{}, false, "push", "fixed/app:1", "unknown: Failed to process request due to 'app:1' configured as immutable."},
		{"read-only", sandbox.Harbor216, sandbox.Policy{ReadOnly: true}, false, "push", "demo/app:1", "denied: The system is in read only mode. Any modification is prohibited."},
		{"proxy cache", sandbox.Harbor216, sandbox.Policy{}, false, "push", "cache/app:1", "denied: can not push artifact to a proxy project: cache"},
		{"vulnerable", sandbox.Harbor216, sandbox.Policy{}, false, "pull", "risky/app:1", "unknown: current image with 3 vulnerabilities cannot be pulled"},
		{"unsigned", sandbox.Harbor216, sandbox.Policy{}, false, "pull", "unsigned/app:1", "unknown: The image is not signed by cosign."},
		{"413", sandbox.Harbor216, sandbox.Policy{MaxBody: 1000}, false, "push", "demo/app:1", "error parsing HTTP 413 response body: invalid character '<' looking for beginning of value: "},
		{"429", sandbox.Harbor216, sandbox.Policy{TooMany: 1 << 20, RetryAfter: time.Hour}, false, "pull", "demo/app:1", "toomanyrequests"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, err := sandbox.Start(t.Context(), sandbox.Options{Like: tc.like, Policy: tc.policy, Projects: projects})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			reach(t, rig, s.Host())
			if !tc.nobody {
				for _, u := range s.Users() {
					if r := run(u.Password, "login", s.Host(), "-u", u.Name, "--password-stdin"); u.Name == "dev" && r.Code != 0 {
						t.Fatal(r.Stderr)
					} else if u.Name == "dev" {
						break
					}
				}
			}
			defer run("", "logout", s.Host())
			name := s.Host() + "/" + tc.image
			run("", "tag", "app:1", name)
			r := run("", tc.verb, name)
			said := strings.ReplaceAll(r.Stdout+r.Stderr, s.Host(), "HOST")
			t.Logf("%s", said)
			if r.Code == 0 || !strings.Contains(said, tc.says) {
				t.Errorf("exit %d", r.Code)
			}
			if !strings.Contains(string(page), strings.ReplaceAll(tc.says, "'app:1'", "'app:v1'")) {
				t.Errorf("the page does not have %q", tc.says)
			}
		})
	}
}

// reach makes a port of this machine reachable at the same address in the rig.
func reach(t *testing.T, rig *testkit.Rig, addr string) {
	t.Helper()
	l := rig.Listen(t, addr)
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return // the test is over
			}
			out, err := net.Dial("tcp", addr)
			if err != nil {
				in.Close()
				continue
			}
			go func() { _, _ = io.Copy(out, in); out.Close() }()
			go func() { _, _ = io.Copy(in, out); in.Close() }()
		}
	}()
}

// What is said to type where an image has OCI's media types and a registry lists
// docker's alone: an engine without the containerd image store gives out docker's.
// Where both are listed, what was pulled keeps its digest.
func TestRealDockerGivesOutDockersMediaTypes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	docker := "DOCKER_HOST=" + w.Dockerd(t)
	vicr := func(args ...string) string {
		return strings.TrimSpace(w.must(t, append([]string{"env", docker, w.vicr}, args...)...).Stdout)
	}
	vicr("trust", "--for", "vicr", "--accept-new", registryHost)
	w.login(t)
	old, err := sandbox.Start(t.Context(), sandbox.Options{Like: sandbox.Harbor17})
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	reach(t, w.Rig, old.Host())
	vicr("trust", "--for", "vicr", "--accept-new", old.Host())
	for _, u := range old.Users() {
		if r := w.Run(t, u.Password, w.vicr, "login", old.Host(), "-u", u.Name, "--password-stdin"); r.Code != 0 {
			t.Fatal(r.Stderr)
		}
	}
	const oci = "application/vnd.oci.image.manifest.v1+json"
	image := registryHost + "/library/ubuntu:14.04"
	vicr("copy", image, old.Host()+"/demo/oci:1")
	for host, want := range map[string]string{registryHost: oci, old.Host(): "application/vnd.docker.distribution.manifest.v2+json"} {
		from, to := host+"/demo/oci:1", host+"/demo/made:1"
		if host == registryHost {
			from = image
		}
		if got := vicr("inspect", "--format", "{{.MediaType}}", from); got != oci {
			t.Fatal(got)
		}
		vicr("pull", "--to", "docker", from)
		vicr("tag", "--in", "docker", from, to)
		vicr("push", "--from", "docker", to)
		if got := vicr("inspect", "--format", "{{.MediaType}}", to); got != want {
			t.Errorf("%s has %s", to, got)
		}
	}
}
