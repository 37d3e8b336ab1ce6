//go:build e2e && linux

package cmd_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/sandbox"
)

// Docker's own command line finds the plugin, lists it and hands its flags on.
func TestRealDockerRunsThePlugin(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config, home := filepath.Join(dir, "docker"), filepath.Join(dir, "home")
	for _, d := range []string{filepath.Join(config, "cli-plugins"), home} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(config, "cli-plugins", "docker-vicr"), "..").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	s, err := sandbox.Start(t.Context(), sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	image := s.Host() + "/library/hello:1.0"
	for _, c := range []struct {
		args, want string
		fails      bool
	}{
		{"--help", "vicr*", false},
		{"vicr version", "vicr", false},
		{"help vicr", "vicr trust", false},
		{"vicr --help", "trust", false},
		{"vicr trust --for vicr --accept-new " + s.Host(), "", false},
		{"-D vicr pull --to store " + image, "vicr: debug: GET ", false},
		{"--context default vicr pull --to store " + image, "@sha256:", false},
		{"-H unix://" + dir + "/none.sock vicr pull --to docker " + image, "none.sock", true},
		{"vicr pull --to store " + s.Host() + "/demo/none:1", "hint: docker vicr login " + s.Host(), true},
		{"vicr untrust " + s.Host(), "", false},
	} {
		docker := exec.CommandContext(t.Context(), "docker", append([]string{"--config", config}, strings.Fields(c.args)...)...)
		docker.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "DOCKER_HOST=unix://" + dir + "/other.sock"}
		if strings.HasPrefix(c.args, "--context") {
			docker.Env = docker.Env[:2]
		}
		out, err := docker.CombinedOutput()
		if (err != nil) != c.fails || !strings.Contains(string(out), c.want) {
			t.Errorf("docker %s: %v\n%s", c.args, err, out)
		}
	}
}
