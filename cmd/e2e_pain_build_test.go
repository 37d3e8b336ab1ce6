//go:build e2e && linux

package cmd_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/testkit"
)

// The rows that are about docker build, asked of the BuildKit in dockerd. A
// builder in a container cannot be had here: its image is on Docker Hub, and
// Debian has no buildx to start it. Of it, the file that it would be made with
// is looked at.

// build is a docker build from an image; env goes before it.
func (b *bench) build(t *testing.T, image string, env ...string) []string {
	t.Helper()
	dir := filepath.Join(b.Dir, "build")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	b.file(t, "build/Dockerfile", []byte("FROM "+image+"\nLABEL a=b\n"))
	return slices.Concat([]string{"env", "DOCKER_BUILDKIT=1"}, env, []string{testkit.OldDocker(t), "build", "--pull", "--no-cache", dir})
}

// The tokens are fetched by the process that docker build is, which knows the
// system's CAs alone. Each build is from a repository of its own, since
// BuildKit keeps tokens.
func clientFetchesTokens(t *testing.T, b *bench) {
	t.Helper()
	var images []string
	for _, n := range "123456" {
		images = append(images, "build/"+string(n)+":1")
	}
	b.Seed(t, word, images...)
	build := func(env ...string) []string {
		t.Helper()
		next := tls1 + "/" + images[0]
		images = images[1:]
		return b.build(t, next, env...)
	}
	refused := func(when string) {
		t.Helper()
		run := b.Run(t, "", build()...)
		if run.Code == 0 || !strings.Contains(run.Stderr, "failed to fetch oauth token") || !strings.Contains(run.Stderr, "x509") {
			t.Errorf("%s: exit %d, want x509 at the token request", when, run.Code)
		}
	}
	b.tokens(t, tls1)
	p := b.StartDockerd(t, testkit.Dockerd{})
	b.trustCA(t, tls1, "docker")
	b.want(t, 0, "docker", "login", tls1, "-u", user, "-p", password)
	b.trusts(t, tls1)
	b.doctor(t, tls1)["realm"].has(t, "fail", "--realm")
	login := []string{b.vicr, "login", tls1, "-u", user, "--password-stdin", "--realm", "https://192.0.2.2:5446/token"}
	if run := b.Run(t, password, login...); run.Code != 0 {
		t.Fatalf("vicr login: exit %d", run.Code)
	}

	b.refuses(t, "a folder that is younger than dockerd", build())
	b.doctor(t, tls1)["buildkit"].has(t, "warn", "restarted")
	p.Stop()
	b.StartDockerd(t, testkit.Dockerd{})
	refused("the CA for dockerd alone")
	c := b.doctor(t, tls1)["buildkit"]
	c.has(t, "warn", "BUILDKIT_NO_CLIENT_TOKEN=1 docker build .", "SSL_CERT_FILE=", "--for system")
	followed := 0
	for _, line := range c.Remedy {
		if env, ok := strings.CutSuffix(strings.TrimPrefix(line, "or: "), " docker build ."); ok {
			b.want(t, 0, build(env)...)
			followed++
		}
	}
	if followed != 2 {
		t.Errorf("%d remedies were followed: %q", followed, c.Remedy)
	}
	b.trustCA(t, tls1, "system")
	b.want(t, 0, build()...)
	b.doctor(t, tls1)["buildkit"].has(t, "ok")
	b.want(t, 0, b.vicr, "untrust", tls1)
	b.trustCA(t, tls1, "docker")
	refused("after untrust for the system")
}

// An insecure registry, which BuildKit passes over in dockerd before 25, and
// which a builder of its own has to be told of.
func buildkitHTTP(t *testing.T, b *bench) {
	t.Helper()
	b.StartRegistry(t, testkit.Registry{Addr: clear1})
	p := b.StartDockerd(t, testkit.Dockerd{})
	b.trustInsecure(t, 0, clear1)
	b.trusts(t, clear1)
	b.refuses(t, "BuildKit before 25", b.build(t, clear1+"/"+image))
	b.doctor(t, clear1)["buildkit"].has(t, "warn", clear1, "DOCKER_BUILDKIT=0 docker build .", "25 or later")
	b.want(t, 0, b.build(t, clear1+"/"+image, "DOCKER_BUILDKIT=0")...)
	b.want(t, 0, b.vicr, "untrust", clear1)
	p.Stop()

	// BuildKit keeps what it found out of a repository for minutes: it is asked
	// only after the change, or after a start.
	p = b.StartDockerd(t, testkit.NewestDockerd(t))
	b.trustInsecure(t, 0, clear1)
	b.want(t, 0, b.build(t, clear1+"/"+image)...)
	b.doctor(t, clear1)["buildkit"].has(t, "skip")
	b.want(t, 0, b.vicr, "untrust", clear1)
	p.Stop()
	b.StartDockerd(t, testkit.NewestDockerd(t))
	b.refuses(t, "after untrust", b.build(t, clear1+"/"+image))

	// The file of a buildkitd that somebody set up is not touched.
	b.put(t, "/etc/buildkit/buildkitd.toml", "# ours\ndebug = true\n")
	before := b.machineState(t)
	run := b.want(t, 0, b.vicr, "trust", clear1, "--for", "buildkit", "--insecure", "-y")
	table := `[registry."` + clear1 + `"]`
	got, err := os.ReadFile(filepath.Join(b.Dir, "home/.docker/buildx/buildkitd.default.toml"))
	if err != nil || !strings.Contains(string(got), table+"\n") || !strings.Contains(string(got), "http = true") {
		t.Errorf("buildkitd.default.toml is %q, %v", got, err)
	}
	if !strings.Contains(run.Stderr, "/etc/buildkit/buildkitd.toml") || !strings.Contains(run.Stderr, table) {
		t.Error("nobody said what to add to /etc/buildkit/buildkitd.toml")
	}
	b.want(t, 0, b.vicr, "untrust", clear1)
	if after := b.machineState(t); after != before {
		t.Errorf("not as before: %s", differs(before, after))
	}
}
