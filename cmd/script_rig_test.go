package cmd_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/sandbox"
)

// A log of what was asked of a registry.
type requests struct {
	mu          sync.Mutex
	all         []string // "GET /v2/ 401"
	first, last time.Time
}

func (r *requests) add(method, path string, status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = time.Now()
	if len(r.all) == 0 {
		r.first = r.last
	}
	r.all = append(r.all, fmt.Sprintf("%s %s %d", method, path, status))
}

// take returns what was asked since the last time, and for how long. The last
// request may be noted after its answer came.
func (r *requests) take() ([]string, time.Duration) {
	for before := -1; ; time.Sleep(20 * time.Millisecond) {
		r.mu.Lock()
		all := r.all
		if len(all) == before {
			r.all = nil
			r.mu.Unlock()
			return all, r.last.Sub(r.first)
		}
		before = len(all)
		r.mu.Unlock()
	}
}

// A rig is a sandbox and somebody who has an image to push to it.
type rig struct {
	t    *testing.T
	box  *sandbox.Sandbox
	seen requests
	home string
}

func newRig(t *testing.T, o sandbox.Options) *rig {
	t.Helper()
	r := &rig{t: t, home: t.TempDir()}
	also := o.OnRequest
	o.OnRequest = func(method, path string, status int) {
		r.seen.add(method, path, status)
		if also != nil {
			also(method, path, status)
		}
	}
	var err error
	if r.box, err = sandbox.Start(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.box.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := os.WriteFile(filepath.Join(r.home, "ca.crt"), pki.EncodePEM(r.box.CA()), 0o600); err != nil {
		t.Fatal(err)
	}
	r.login("dev", "")
	if code, said := r.vicr("", "pull", "--to", "oci:image", r.box.Host()+"/library/hello:1.0"); code != 0 {
		t.Fatalf("pull: %d\n%s", code, said)
	}
	return r
}

// login writes what docker login would have: the user's own password for "".
func (r *rig) login(user, password string) {
	r.t.Helper()
	for _, u := range r.box.Users() {
		if u.Name == user && password == "" {
			password = u.Password
		}
	}
	auths := map[string]any{}
	if user != "" {
		auths[r.box.Host()] = map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte(user + ":" + password))}
	}
	raw, err := json.Marshal(map[string]any{"auths": auths})
	if err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.home, "config.json"), raw, 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) environ() []string {
	return []string{"HOME=" + r.home, "DOCKER_CONFIG=" + r.home, "TMPDIR=" + r.home, "DOCKER_HOST=unix://" + r.home + "/none"}
}

// vicr runs a command and returns its exit code and all that it said.
func (r *rig) vicr(stdin string, args ...string) (int, string) {
	r.t.Helper()
	trusted := []string{"--ca-file", "ca.crt"}
	if args[0] == "copy" {
		trusted = []string{"--src-ca-file", "ca.crt", "--dest-ca-file", "ca.crt"}
	}
	return r.run(stdin, append(args, trusted...)...)
}

// alone is vicr with no more than these arguments.
func (r *rig) alone(args ...string) (int, string) { return r.run("", args...) }

func (r *rig) run(stdin string, args ...string) (int, string) {
	r.t.Helper()
	c := exec.CommandContext(r.t.Context(), "vicr", args...)
	c.Dir = r.home
	c.Stdin = strings.NewReader(stdin)
	c.Env = r.environ()
	out, err := c.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), string(out)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return 0, string(out)
}
