//go:build e2e && linux

package testkit_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vicr-cli/vicr/internal/testkit"
)

// What the rig offers is tried by hand-made files first: before x509, after
// works. Otherwise a test of vicr that passes might prove nothing.

const (
	rigUser, rigPassword = "dev", "c0rrect-h0rse"
	app                  = "library/app:1"
)

// rig has its CA and a leaf for all its addresses.
func rig(t *testing.T) (r *testkit.Rig, ca, leaf *testkit.Cert) {
	t.Helper()
	r = testkit.NewRig(t)
	r.Seed(t, "ahoy", app)
	ca = testkit.NewCA(t)
	return r, ca, ca.NewLeaf(t, testkit.SANs("192.0.2.2", "2001:db8::2"))
}

func put(t *testing.T, r *testkit.Rig, path string, data []byte) {
	t.Helper()
	path = r.Etc(path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// flips wants argv to fail with a word of certificates, and to work once the
// file is there.
func flips(t *testing.T, r *testkit.Rig, file string, data []byte, argv ...string) {
	t.Helper()
	if run := r.Run(t, "", argv...); run.Code == 0 || !strings.Contains(run.Stderr, "certificate") {
		t.Errorf("%s: before: exit %d", argv[0], run.Code)
	}
	put(t, r, file, data)
	if run := r.Run(t, "", argv...); run.Code != 0 {
		t.Errorf("%s: after: exit %d", argv[0], run.Code)
	}
}

func TestRealRigEnginesTrustAFileMadeByHand(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(t *testing.T, r *testkit.Rig) (dir string, pull []string){
		"dockerd 20.10": func(t *testing.T, r *testkit.Rig) (string, []string) {
			t.Helper()
			r.StartDockerd(t, testkit.Dockerd{})
			return "/etc/docker/certs.d/", []string{"docker", "pull"}
		},
		"dockerd newest": func(t *testing.T, r *testkit.Rig) (string, []string) {
			t.Helper()
			r.StartDockerd(t, testkit.NewestDockerd(t))
			if run := r.Run(t, "", "docker", "info", "--format", "{{.DriverStatus}}"); !strings.Contains(run.Stdout, "snapshotter") {
				t.Error("it has not the containerd store")
			}
			return "/etc/docker/certs.d/", []string{"docker", "pull"}
		},
		"podman": func(t *testing.T, _ *testkit.Rig) (string, []string) {
			t.Helper()
			return "/etc/containers/certs.d/", []string{testkit.Need(t, "podman", "podman"), "pull"}
		},
		"podman service": func(t *testing.T, r *testkit.Rig) (string, []string) {
			t.Helper()
			_, host := r.PodmanService(t)
			return "/etc/containers/certs.d/", []string{"docker", "-H", host, "pull"}
		},
		"containerd 1.6": func(t *testing.T, r *testkit.Rig) (string, []string) {
			t.Helper()
			return "/etc/containerd/certs.d/", r.OldContainerd(t).Ctr("images", "pull", "--hosts-dir", "/etc/containerd/certs.d")
		},
		"containerd 2": func(t *testing.T, r *testkit.Rig) (string, []string) {
			t.Helper()
			return "/etc/containerd/certs.d/", r.NewContainerd(t).Ctr("images", "pull", "--hosts-dir", "/etc/containerd/certs.d")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, ca, leaf := rig(t)
			const host = "192.0.2.2:5443"
			r.StartRegistry(t, testkit.Registry{Addr: host, Cert: leaf})
			dir, pull := start(t, r)
			flips(t, r, dir+host+"/ca.crt", ca.PEM(), append(pull, host+"/"+app)...)
		})
	}
}

func TestRealRigRegistries(t *testing.T) {
	t.Parallel()
	r, ca, leaf := rig(t)
	r.StartDockerd(t, testkit.NewestDockerd(t))
	login := []string{"docker", "login", "-u", rigUser, "-p", rigPassword}
	for _, g := range []testkit.Registry{
		{Addr: "[2001:db8::2]:443", Cert: leaf},
		{Addr: "192.0.2.2:5444", Cert: leaf, User: rigUser, Password: rigPassword},
		{Addr: "192.0.2.2:5445", Cert: leaf, Token: r.StartTokenServer(t, "192.0.2.2:5446", leaf, nil, rigUser, rigPassword)},
	} {
		r.StartRegistry(t, g)
		host := strings.TrimSuffix(g.Addr, ":443")
		flips(t, r, "/etc/docker/certs.d/"+host+"/ca.crt", ca.PEM(), append(login, host)...)
		if run := r.Run(t, "", "docker", "pull", host+"/"+app); run.Code != 0 {
			t.Errorf("%s: with a login: exit %d", host, run.Code)
		}
		if g.Token != nil && g.Token.Given.Load() == 0 {
			t.Error("nobody asked for a token")
		}
	}

	const strict = "192.0.2.2:5447"
	client := ca.NewLeaf(t, testkit.ForClients())
	r.StartRegistry(t, testkit.Registry{Addr: strict, Cert: leaf, ClientCA: ca})
	put(t, r, "/etc/docker/certs.d/"+strict+"/ca.crt", ca.PEM())
	put(t, r, "/etc/docker/certs.d/"+strict+"/client.key", client.KeyPEM(t))
	flips(t, r, "/etc/docker/certs.d/"+strict+"/client.cert", client.PEM(), "docker", "pull", strict+"/"+app)
}

// The engine with the fault is asked for what it cannot do, so that a test
// that vicr warns of it is about something.
func TestRealRigTokenFault(t *testing.T) {
	t.Parallel()
	if !testkit.Full() {
		return // it takes minutes to build
	}
	r, ca, leaf := rig(t)
	r.StartDockerd(t, testkit.FaultyDockerd(t))
	const host = "192.0.2.2:5445"
	r.StartRegistry(t, testkit.Registry{Addr: host, Cert: leaf, Token: r.StartTokenServer(t, "192.0.2.2:5446", leaf, nil, rigUser, rigPassword)})
	flips(t, r, "/etc/docker/certs.d/"+host+"/ca.crt", ca.PEM(), "docker", "login", "-u", rigUser, "-p", rigPassword, host)
	if run := r.Run(t, "", "docker", "pull", host+"/"+app); run.Code == 0 || !strings.Contains(run.Stderr, "failed to fetch oauth token") {
		t.Errorf("the engine has not the fault: exit %d", run.Code)
	}
}

func TestRealRigMachineWithSystemd(t *testing.T) {
	t.Parallel()
	r, ca, leaf := rig(t)
	const host = "192.0.2.2:5443"
	r.StartRegistry(t, testkit.Registry{Addr: host, Cert: leaf})
	m := r.BootMachine(t, nil)
	if run := m.Run(t, "systemctl", "is-active", "docker"); run.Code != 0 {
		t.Fatal("docker.service does not run")
	}
	etc := m.TreeHash(t, "/etc")
	if run := m.Run(t, "docker", "pull", host+"/"+app); run.Code == 0 || !strings.Contains(run.Stderr, "x509") {
		t.Errorf("before: exit %d", run.Code)
	}
	file := m.Root + "/etc/docker/certs.d/" + host + "/ca.crt"
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, ca.PEM(), 0o644); err != nil {
		t.Fatal(err)
	}
	if run := m.Run(t, "docker", "pull", host+"/"+app); run.Code != 0 {
		t.Errorf("after: exit %d", run.Code)
	}
	if run := m.Run(t, "systemctl", "reload", "docker"); run.Code != 0 {
		t.Errorf("reload: exit %d", run.Code)
	}
	if err := os.RemoveAll(filepath.Dir(filepath.Dir(file))); err != nil {
		t.Fatal(err)
	}
	if m.TreeHash(t, "/etc") != etc {
		t.Error("the machine changes its /etc by itself")
	}
}

func TestRealRigRootless(t *testing.T) {
	t.Parallel()
	r, ca, leaf := rig(t)
	alice := r.AddUser(t, "alice")
	r.RootlessDockerd(t, alice)
	const host = "192.0.2.2:5443"
	r.StartRegistry(t, testkit.Registry{Addr: host, Cert: leaf})
	flips(t, r, alice.Home+"/.config/docker/certs.d/"+host+"/ca.crt", ca.PEM(), "docker", "-H", alice.DockerHost(), "pull", host+"/"+app)
}

func TestRealRigSystemStore(t *testing.T) {
	t.Parallel()
	r, ca, leaf := rig(t)
	r.StartRegistry(t, testkit.Registry{Addr: "192.0.2.2:443", Cert: leaf})
	fetch := r.GoFetcher(t)
	for _, argv := range [][]string{{testkit.Need(t, "curl", "curl"), "-sSf"}, {fetch}} {
		argv = append(argv, "https://192.0.2.2/v2/")
		if run := r.Run(t, "", argv...); run.Code == 0 {
			t.Errorf("%s trusts it already", argv[0])
		}
	}
	put(t, r, "/usr/local/share/ca-certificates/by-hand.crt", ca.PEM())
	r.Run(t, "", testkit.Need(t, "update-ca-certificates", "ca-certificates"))
	for _, argv := range [][]string{{"curl", "-sSf"}, {fetch}} {
		if run := r.Run(t, "", append(argv, "https://192.0.2.2/v2/")...); run.Code != 0 {
			t.Errorf("%s: exit %d", argv[0], run.Code)
		}
	}
	if _, err := os.Stat("/usr/local/share/ca-certificates/by-hand.crt"); !os.IsNotExist(err) {
		t.Errorf("this machine was changed: %v", err)
	}
}

func TestRealRigTreeHashSeesEverything(t *testing.T) {
	t.Parallel()
	r := testkit.NewRig(t)
	put(t, r, "/etc/vicr-hash/file", []byte("x"))
	if err := os.Symlink("a", r.Etc("/etc/vicr-hash/link")); err != nil {
		t.Fatal(err)
	}
	file := r.Etc("/etc/vicr-hash/file")
	seen := map[string]string{r.TreeHash(t, "/etc/vicr-hash"): "nothing"}
	for _, c := range []struct {
		what   string
		change func() error
	}{
		{"a byte", func() error { return os.WriteFile(file, []byte("y"), 0o644) }},
		{"a mode", func() error { return os.Chmod(file, 0o600) }},
		{"an owner", func() error { return os.Chown(file, 1, 1) }},
		{"an attribute", func() error { return unix.Setxattr(file, "user.a", []byte("1"), 0) }},
		{"its value", func() error { return unix.Setxattr(file, "user.a", []byte("2"), 0) }},
		{"where a link leads", func() error {
			os.Remove(r.Etc("/etc/vicr-hash/link"))
			return os.Symlink("b", r.Etc("/etc/vicr-hash/link"))
		}},
	} {
		if err := c.change(); err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		sum := r.TreeHash(t, "/etc/vicr-hash")
		if was, ok := seen[sum]; ok {
			t.Errorf("%s: the sum is that after %s", c.what, was)
		}
		seen[sum] = c.what
	}
}
