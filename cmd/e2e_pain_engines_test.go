//go:build e2e && linux

package cmd_test

import (
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/testkit"
)

// The rows that are about where an engine reads, and when.

// dockerCE is docker.service as Docker's own packages bring it: without a file
// of variables.
const dockerCE = `[Unit]
Requires=docker.socket containerd.service
After=network-online.target docker.socket containerd.service
[Service]
Type=notify
ExecStart=/usr/sbin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock
ExecReload=/bin/kill -s HUP $MAINPID
Restart=on-failure
[Install]
WantedBy=multi-user.target
`

// bootMachine is a machine with systemd and vicr; files are put into it before.
func (b *bench) bootMachine(t *testing.T, files map[string]string) *testkit.Machine {
	t.Helper()
	return b.BootMachine(t, func(root string) {
		program, err := os.ReadFile(b.vicr)
		if err != nil {
			t.Fatal(err)
		}
		files["/usr/local/bin/vicr"] = string(program)
		files["/root/ca.crt"] = string(b.ca.PEM())
		for path, text := range files {
			if err := os.MkdirAll(filepath.Join(root, filepath.Dir(path)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(root, path), []byte(text), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// The entry goes where the daemon reads it, and the file that people tried
// before is named and left alone.
func ignoredFile(t *testing.T, b *bench, path, variable string) {
	t.Helper()
	b.StartRegistry(t, testkit.Registry{Addr: clear1})
	text := variable + `="--insecure-registry ` + clear1 + `"` + "\n"
	m := b.bootMachine(t, map[string]string{"/etc/systemd/system/docker.service": dockerCE, path: text})
	if run := m.Run(t, pullOf(clear1)...); run.Code == 0 {
		t.Fatalf("%s counts on this machine", path)
	}
	before := m.TreeHash(t, "/etc")
	run := m.Run(t, "vicr", "trust", clear1, "--for", "docker", "--insecure", "-y")
	if run.Code != 0 {
		t.Errorf("trust: exit %d", run.Code)
	}
	if !strings.Contains(run.Stderr, path) {
		t.Errorf("nobody said that %s does not count", path)
	}
	if run := m.Run(t, pullOf(clear1)...); run.Code != 0 {
		t.Errorf("after trust: exit %d", run.Code)
	}
	if got, err := os.ReadFile(m.Root + path); err != nil || string(got) != text {
		t.Errorf("%s was changed: %q, %v", path, got, err)
	}
	m.Run(t, "vicr", "untrust", clear1)
	if m.TreeHash(t, "/etc") != before {
		t.Error("/etc is not as it was")
	}
	if run := m.Run(t, pullOf(clear1)...); run.Code == 0 {
		t.Error("it is trusted after untrust")
	}
}

func systemNeedsRestart(t *testing.T, b *bench) {
	t.Helper()
	b.StartRegistry(t, testkit.Registry{Addr: tls1, Cert: b.leaf})
	p := b.StartDockerd(t, testkit.Dockerd{})
	before := b.machineState(t)
	b.refuses(t, "before", pullOf(tls1)) // it has read the system's CAs now, for good
	run := b.trustCA(t, tls1, "system")
	if !strings.Contains(run.Stderr, "restart") {
		t.Error("nobody said that dockerd has to be restarted")
	}
	b.want(t, 0, testkit.Need(t, "curl", "curl"), "-sSf", "https://"+tls1+"/v2/")
	b.hangUp(t, p)
	b.refuses(t, "after a reload, as ever", pullOf(tls1))
	p.Stop()
	p = b.StartDockerd(t, testkit.Dockerd{})
	b.trusts(t, tls1)

	b.want(t, 0, b.vicr, "untrust", tls1)
	p.Stop()
	b.StartDockerd(t, testkit.Dockerd{})
	b.refuses(t, "after untrust", pullOf(tls1))
	b.trustCA(t, tls1, "docker")
	b.trusts(t, tls1) // without a restart
	b.want(t, 0, b.vicr, "untrust", tls1)
	if after := b.machineState(t); after != before {
		t.Errorf("not as before: %s", differs(before, after))
	}
}

func entryWithoutPort(t *testing.T, b *bench) {
	t.Helper()
	b.put(t, daemonJSON, `{"insecure-registries": ["192.0.2.4"]}`)
	b.StartRegistry(t, testkit.Registry{Addr: clear1})
	b.StartDockerd(t, testkit.Dockerd{})
	b.wantListed(t, "before", "192.0.2.4")
	b.refuses(t, "before", pullOf(clear1))
	checks := b.doctor(t, clear1)
	checks["insecure"].has(t, "warn", `192.0.2.4`, clear1)
	b.followed(t, checks["engine"])
	b.trusts(t, clear1)
	b.want(t, 0, b.vicr, "untrust", clear1)
	b.wantListed(t, "after untrust", "192.0.2.4")
}

func anotherConfigFile(t *testing.T, b *bench) {
	t.Helper()
	const file = "/etc/docker/other.json"
	b.put(t, file, "{}\n")
	b.put(t, daemonJSON, `{"insecure-registries": ["`+clear1+`"]}`)
	b.StartRegistry(t, testkit.Registry{Addr: clear1})
	b.StartDockerd(t, testkit.Dockerd{Args: []string{"--config-file", file}})
	b.wantListed(t, "before")
	before := b.machineState(t)
	b.trustInsecure(t, 0, clear1)
	b.wantListed(t, "after trust", clear1)
	if got := b.text(t, file); !strings.Contains(got, clear1) {
		t.Errorf("%s is %q", file, got)
	}
	b.want(t, 0, b.vicr, "untrust", clear1)
	b.wantListed(t, "after untrust")
	if after := b.machineState(t); after != before {
		t.Errorf("not as before: %s", differs(before, after))
	}
}

func rootless(t *testing.T, b *bench) {
	t.Helper()
	alice := b.AddUser(t, "alice")
	b.StartRegistry(t, testkit.Registry{Addr: tls1, Cert: b.leaf})
	b.StartRegistry(t, testkit.Registry{Addr: clear1})
	b.RootlessDockerd(t, alice)
	pull := func(host string) []string {
		return alice.As("docker", "-H", alice.DockerHost(), "pull", host+"/"+image)
	}
	b.put(t, "/etc/docker/certs.d/"+tls1+"/ca.crt", string(b.ca.PEM()))
	b.refuses(t, "the CA where root's engine reads it", pull(tls1))
	etc, home := b.TreeHash(t, "/etc"), b.TreeHash(t, alice.Home+"/.config")

	// What root's engine would need is root's to do: 11, or 0 where it needs nothing.
	vicr := func(args ...string) {
		run := b.Run(t, "", alice.As(append([]string{"env", "DOCKER_HOST=" + alice.DockerHost(), b.vicr}, args...)...)...)
		if run.Code != 0 && run.Code != 11 {
			t.Errorf("vicr %s: exit %d", args[0], run.Code)
		}
	}
	vicr(append([]string{"trust", tls1, "--for", "docker"}, b.pinned(t, b.ca)...)...)
	b.want(t, 0, pull(tls1)...)
	b.refuses(t, "before", pull(clear1))
	vicr("trust", clear1, "--for", "docker", "--insecure", "-y")
	b.want(t, 0, pull(clear1)...)
	vicr("untrust", tls1)
	vicr("untrust", clear1)
	b.refuses(t, "after untrust", pull(tls1))
	b.refuses(t, "after untrust", pull(clear1))
	if b.TreeHash(t, "/etc") != etc {
		t.Error("/etc is not as it was")
	}
	if b.TreeHash(t, alice.Home+"/.config") != home {
		t.Error("~/.config is not as it was")
	}
}

// Without config_path CRI looks into no certs.d, whatever lies there. vicr sets
// it, and untrust takes it back; each counts from containerd's next start on.
func configPath(t *testing.T, b *bench) {
	t.Helper()
	b.StartRegistry(t, testkit.Registry{Addr: tls1, Cert: b.leaf})
	for _, start := range []func(*testing.T) *testkit.Containerd{b.OldContainerd, b.NewContainerd} {
		c := start(t)
		pull := append(c.CRI(t), tls1+"/"+image)
		restart := func() {
			t.Helper()
			c.Stop()
			c = start(t)
		}
		before := b.machineState(t)
		byHand := "/etc/containerd/certs.d/" + tls1
		b.put(t, byHand+"/ca.crt", string(b.ca.PEM()))
		b.refuses(t, "the CA alone", pull)
		if err := os.RemoveAll(b.Etc(filepath.Dir(byHand))); err != nil {
			t.Fatal(err)
		}
		run := b.trustCA(t, tls1, "containerd")
		if !strings.Contains(run.Stdout+run.Stderr, "containerd restart") {
			t.Error("nobody said that containerd has to be restarted")
		}
		b.refuses(t, "before the restart", pull)
		restart()
		b.want(t, 0, pull...)
		b.want(t, 0, b.vicr, "untrust", tls1)
		b.refuses(t, "after untrust", pull)
		if after := b.machineState(t); after != before {
			t.Errorf("not as before: %s", differs(before, after))
		}
		restart()
		b.put(t, byHand+"/ca.crt", string(b.ca.PEM()))
		b.refuses(t, "config_path after untrust", pull)
		if err := os.RemoveAll(b.Etc(filepath.Dir(byHand))); err != nil {
			t.Fatal(err)
		}
		c.Stop()
	}
}

// There is no Notary; what answers in its place hears of docker only where
// docker believes its certificate, and has no signatures.
func contentTrust(t *testing.T, b *bench) {
	t.Helper()
	const notary = "192.0.2.2:4443"
	var asked atomic.Int64 // for a file of signatures
	server := &http.Server{
		ErrorLog: log.New(io.Discard, "", 0),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/_trust/tuf/root.json") {
				asked.Add(1)
				http.NotFound(w, r)
			}
		}),
	}
	go server.Serve(tls.NewListener(b.Listen(t, notary), &tls.Config{Certificates: []tls.Certificate{b.leaf.TLS()}}))
	t.Cleanup(func() { server.Close() })
	b.StartRegistry(t, testkit.Registry{Addr: tls1, Cert: b.leaf})
	b.StartDockerd(t, testkit.Dockerd{})
	b.trustCA(t, tls1, "docker")
	b.trusts(t, tls1)
	signed := append([]string{"env", "DOCKER_CONTENT_TRUST=1", "DOCKER_CONTENT_TRUST_SERVER=https://" + notary}, pullOf(tls1)...)
	b.refuses(t, "before", signed)
	if n := asked.Load(); n != 0 {
		t.Errorf("docker asked %d times before", n)
	}
	b.trustCA(t, tls1, "notary")
	run := b.Run(t, "", signed...)
	if run.Code == 0 || !strings.Contains(run.Stderr, notary+" does not have trust data for "+tls1+"/library/app") {
		t.Errorf("after trust: exit %d, want that there are no signatures", run.Code)
	}
	n := asked.Load()
	if n == 0 {
		t.Error("docker did not ask after trust")
	}
	b.want(t, 0, b.vicr, "untrust", tls1)
	b.refuses(t, "after untrust", signed)
	if asked.Load() != n {
		t.Error("docker asked after untrust")
	}
}

// A registry that is trusted because vicr made the system trust it is not
// publicly trusted: other tools can be added, and all of it is taken back.
func TestRealToolsAfterTheSystemsStore(t *testing.T) {
	t.Parallel()
	b := newBench(t, buildVicr(t))
	b.StartRegistry(t, testkit.Registry{Addr: tls1, Cert: b.leaf})
	b.StartDockerd(t, testkit.Dockerd{})
	inspect := []string{testkit.Need(t, "skopeo", "skopeo"), "inspect", "docker://" + tls1 + "/" + image}
	before := b.machineState(t)
	b.refuses(t, "before", pullOf(tls1)) // dockerd has read the system's CAs now, for good
	b.trustCA(t, tls1, "system")
	fingerprint := pki.SHA256(b.ca.Certificate).String()
	for _, tool := range []string{"docker", "podman"} {
		run := b.want(t, 0, b.vicr, "trust", tls1, "--for", tool, "--fingerprint", fingerprint)
		if !strings.Contains(run.Stdout, "trusted for "+tool) {
			t.Errorf("for %s it says %q", tool, run.Stdout)
		}
	}
	b.trusts(t, tls1)
	b.want(t, 0, inspect...)
	for _, certs := range []string{"/etc/docker/certs.d/", "/etc/containers/certs.d/"} {
		if _, err := os.Stat(b.Etc(certs + tls1 + "/ca.crt")); err != nil {
			t.Error(err)
		}
	}
	b.want(t, 0, b.vicr, "untrust", tls1)
	b.refuses(t, "after untrust", pullOf(tls1))
	b.refuses(t, "after untrust", inspect)

	b.trustCA(t, tls1, "system")
	b.want(t, 0, b.vicr, "trust", tls1, "--for", "docker", "--insecure", "--yes")
	b.wantListed(t, "insecure", tls1)
	b.want(t, 0, b.vicr, "untrust", tls1)
	if after := b.machineState(t); after != before {
		t.Errorf("not as before: %s", differs(before, after))
	}
}
