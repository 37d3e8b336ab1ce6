package trust_test

import (
	"runtime"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/atomicfile"
	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/testkit"
	"github.com/vicr-cli/vicr/internal/trust"
)

func TestSecondPlanHasNothingLeftToDo(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("a file name of Linux has a colon")
	}
	root := t.TempDir()
	tree, err := atomicfile.Beneath(root)
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close() //nolint:errcheck // only a handle on a folder
	m := machine.Look(machine.Options{GOOS: "linux", Root: root})
	h := host(t, "registry.corp")
	journal := change.OpenJournal(tree, m.Dirs.MachineState, change.Options{})
	for _, ca := range []*testkit.Cert{testkit.NewCA(t), testkit.NewCA(t)} {
		r := trust.Request{Host: h, Anchor: pki.Anchor{Cert: ca.Certificate}, Tools: []trust.Tool{trust.ToolDocker}}
		p := plan(t, m, r)
		if left, err := p.Machine.Pending(tree); err != nil || len(left) != 2 {
			t.Fatalf("to do are %v, %v", left, err)
		}
		subject := change.Subject{Host: h.String(), Trust: change.Trust{How: "fingerprint"}}
		if err := journal.Apply(t.Context(), subject, p.Machine, nil); err != nil {
			t.Fatal(err)
		}
		p = plan(t, m, r)
		if left, err := p.Machine.Pending(tree); err != nil || len(left) != 0 || len(p.Replaces)+len(p.Notes) != 0 {
			t.Errorf("after it was applied, to do are %v, %v; notes %v, replaces %v", left, err, p.Notes, p.Replaces)
		}
		if r, err := trust.RecordedAnchor(m, h); err != nil || !r.Holds(ca.Certificate) {
			t.Errorf("recorded is %+v, %v", r, err)
		}
	}
}

func TestMayWriteIsForOneRegistry(t *testing.T) {
	t.Parallel()
	m := look(machine.Options{})
	for path, want := range map[string]bool{
		"/etc/docker/certs.d/registry.corp/ca.crt":                                       true,
		"/etc/docker/certs.d/registry.corp:443/client.key":                               true,
		"/home/ann/.config/vicr/certs.d/registry.corp_443_/ca.crt":                       true,
		"/etc/docker/daemon.json":                                                        true,
		"/etc/default/docker":                                                            true,
		"/etc/rancher/k3s/registries.yaml":                                               true,
		"/etc/rancher/rke2/vicr-registry.corp_443_.crt":                                  true,
		"/etc/containerd/config.toml":                                                    true,
		"/var/snap/docker/current/etc/docker/certs.d/registry.corp/ca.crt":               true,
		"/home/ann/.config/docker/certs.d/registry.corp/ca.crt":                          true,
		"/home/ann/.config/containers/registries.conf.d/50-vicr-registry.corp_443_.conf": true,
		"/etc/shadow": false,
		"/etc/docker/certs.d/registry.corp/other.crt":                    false,
		"/etc/docker/certs.d/registry.corp/../other.corp/ca.crt":         false,
		"/etc/docker/certs.d/other.corp/ca.crt":                          false,
		"/etc/docker/certs.d/registry.corp:5000/ca.crt":                  false,
		"/etc/containers/registries.conf.d/50-vicr-other.corp_443_.conf": false,
		"/etc/systemd/system/docker.service":                             false,
		"ca.crt":                                                         false,
		"":                                                               false,
	} {
		if got := trust.MayWrite(m, "registry.corp", path); got != want {
			t.Errorf("%q may be written: %t", path, got)
		}
		if trust.MayWrite(m, "", path) || trust.MayWrite(m, "../..", path) {
			t.Errorf("%q may be written for nobody", path)
		}
	}
	for path, want := range map[string]bool{"/etc/docker/daemon.json": true, "/etc/sysconfig/docker": true, "/etc/rancher/k3s/registries.yaml": false, "/etc/docker/certs.d/10.20.30.0/ca.crt": false} {
		if got := trust.MayWrite(m, "10.20.30.0/24", path); got != want {
			t.Errorf("for a network %q may be written: %t", path, got)
		}
	}
}

func TestMayRunAndReloadTakeNothingElse(t *testing.T) {
	t.Parallel()
	m := look(machine.Options{FS: files(map[string]string{"/etc/os-release": "ID=debian\n", "/usr/sbin/update-ca-certificates": ""})})
	for _, argv := range [][]string{
		nil,
		{""},
		{"/bin/sh", "-c", "x"},
		{"/usr/bin/systemctl"},
		{"/usr/bin/systemctl", "restart"},
		{"/usr/bin/systemctl", "restart", "ssh.service"},
		{"/usr/bin/systemctl", "stop", "docker.service"},
		{"systemctl", "restart", "docker.service"},
		{"/usr/sbin/update-ca-certificates", "--hooksdir", "/tmp"},
		{"/usr/bin/systemctl", "restart", "docker.service", "ssh.service"},
		{"/usr/bin/snap", "remove", "docker"},
		{"/usr/bin/systemctl", "reset-failed", "k3s.service"},
	} {
		if trust.MayRun(m, "registry.corp", argv) {
			t.Errorf("%q may be run", argv)
		}
	}
	if !trust.MayRun(m, "registry.corp", []string{"/usr/sbin/update-ca-certificates", "--fresh"}) || !trust.MayRun(m, "10.0.0.0/24", []string{"/usr/bin/systemctl", "restart", "docker.service"}) {
		t.Error("what is planned may not be run")
	}
	gone := look(machine.Options{FS: files(map[string]string{"/etc/os-release": "ID=debian\n"})})
	for argv, want := range map[string]bool{
		"/usr/sbin/update-ca-certificates": true, "/usr/sbin/update-ca-certificates --fresh": true, "/usr/bin/update-ca-trust": true,
		"/tmp/update-ca-trust": false, "/usr/bin/update-ca-trust --fresh": false, "/usr/sbin/update-ca-certificates --etccertsdir /tmp": false,
	} {
		if got := trust.MayRun(gone, "registry.corp", strings.Fields(argv)); got != want {
			t.Errorf("%s where it is not here any more: may be run: %v", argv, got)
		}
	}
	tree := look(machine.Options{Root: "/srv/image", FS: files(map[string]string{"/etc/os-release": "ID=debian\n", "/usr/sbin/update-ca-certificates": "", "/usr/bin/snap": ""})})
	for _, argv := range []string{
		"/usr/bin/systemctl restart docker.service", "/usr/bin/snap restart docker.dockerd", "/usr/sbin/update-ca-certificates", "/usr/sbin/update-ca-certificates --fresh",
	} {
		if !trust.MayRun(m, "registry.corp", strings.Fields(argv)) || trust.MayRun(tree, "registry.corp", strings.Fields(argv)) {
			t.Errorf("%s is for a machine that runs, and not for a tree", argv)
		}
	}
	for _, r := range []change.Reload{
		{},
		{Name: "x", PIDFile: "/tmp/docker.pid", Exe: []string{"dockerd"}},
		{PIDFile: "/var/run/docker.pid"},
		{PIDFile: "/var/run/docker.pid", Exe: []string{"dockerd", "sshd"}},
		{PIDFile: "/run/user/../../tmp/user/1/docker.pid", Exe: []string{"dockerd"}},
	} {
		if trust.MayReload(m, r) {
			t.Errorf("%+v may be reloaded", r)
		}
	}
	if !trust.MayReload(m, change.Reload{PIDFile: "/var/run/docker.pid", Exe: []string{"dockerd"}}) {
		t.Error("dockerd may not be reloaded")
	}
}

// Who runs a rootless engine reloads it, and root nobody's.
func TestMayReloadTakesOnlyTheUsersOwnRootlessEngine(t *testing.T) {
	t.Parallel()
	seen := files(map[string]string{"/run/user/1000/docker.sock=": ""})
	env := func(name string) string { return map[string]string{"XDG_RUNTIME_DIR": "/run/user/1000"}[name] }
	passwd := files(map[string]string{"/run/user/1000/docker.sock=": "", "/etc/passwd": "ann:x:1000:1000::/home/ann:/bin/sh\n"})
	for name, tt := range map[string]struct {
		o    machine.Options
		file string
		want bool
	}{
		"her own":                   {machine.Options{Euid: 1000, FS: seen, Getenv: env}, "/run/user/1000/docker.pid", true},
		"her own, unseen":           {machine.Options{Euid: 1000, FS: files(nothing())}, "/run/user/1000/docker.pid", true},
		"somebody else's":           {machine.Options{Euid: 1000, FS: seen}, "/run/user/1001/docker.pid", false},
		"nobody's":                  {machine.Options{Euid: 1000, FS: seen}, "/run/user/x/docker.pid", false},
		"the same number otherwise": {machine.Options{Euid: 1000, FS: seen}, "/run/user/01000/docker.pid", false},
		"root, hers":                {machine.Options{FS: seen}, "/run/user/1000/docker.pid", false},
		"root with her variables":   {machine.Options{FS: seen, Getenv: env}, "/run/user/1000/docker.pid", false},
		"root by sudo":              {machine.Options{FS: passwd, UserID: 1000}, "/run/user/1000/docker.pid", false},
		"root, root's":              {machine.Options{FS: seen}, "/var/run/docker.pid", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.o.GOOS, tt.o.Home = "linux", "/home/ann"
			m := machine.Look(tt.o)
			if got := trust.MayReload(m, change.Reload{PIDFile: tt.file, Exe: []string{"dockerd"}}); got != tt.want {
				t.Errorf("%s may be reloaded: %t", tt.file, got)
			}
		})
	}
}

// A store that keeps certificates by themselves is told which one is to go: that
// is the one of the registry, and none that the system or somebody else put there.
func TestMayRunTakesOnlyTheCertificateOfTheRegistryOutOfAStore(t *testing.T) {
	t.Parallel()
	ca, other := testkit.NewCA(t), testkit.NewCA(t)
	hash := func(c *testkit.Cert) string { return strings.TrimPrefix(pki.SHA1(c.Certificate).String(), "sha1:") }
	for name, tt := range map[string]struct {
		goos, program, dir string
		undo               func(hash string) []string
		file               func(path string) []string // what adds it
	}{
		"Windows": {
			"windows", "C:/Windows/System32/certutil.exe", "C:/ProgramData/vicr/ca/",
			func(hash string) []string {
				return []string{`C:\Windows\System32\certutil.exe`, "-delstore", "Root", hash}
			},
			func(path string) []string {
				return []string{`C:\Windows\System32\certutil.exe`, "-addstore", "-f", "Root", strings.ReplaceAll(path, "/", `\`)}
			},
		},
		"macOS": {
			"darwin", "/usr/bin/security", "/Library/Application Support/vicr-ca/",
			func(hash string) []string {
				return []string{"/usr/bin/security", "delete-certificate", "-t", "-Z", strings.ToUpper(hash), "/Library/Keychains/System.keychain"}
			},
			func(path string) []string {
				return []string{"/usr/bin/security", "add-trusted-cert", "-d", "-r", "trustRoot", "-k", "/Library/Keychains/System.keychain", path}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := func(c *testkit.Cert) machine.Machine {
				there := map[string]string{tt.program: ""}
				if c != nil {
					there[tt.dir+"vicr-registry.corp_443_.crt"] = string(c.PEM())
				}
				return look(machine.Options{GOOS: tt.goos, FS: files(there)})
			}
			for what, c := range map[string]struct {
				m    machine.Machine
				argv []string
				want bool
			}{
				"its own":                   {at(ca), tt.undo(hash(ca)), true},
				"another one":               {at(ca), tt.undo(hash(other)), false},
				"its own, the file is gone": {at(nil), tt.undo(hash(ca)), true},
				"no hash":                   {at(nil), tt.undo("Root"), false},
				"two of them":               {at(nil), append(tt.undo(hash(ca)), hash(other)), false},
				"the program alone":         {at(ca), tt.undo(hash(ca))[:3], false},
				"its file":                  {at(ca), tt.file(tt.dir + "vicr-registry.corp_443_.crt"), true},
				"another file":              {at(ca), append(tt.file("x")[:len(tt.file("x"))-1], "/tmp/ca.crt"), false},
			} {
				if got := trust.MayRun(c.m, "registry.corp", c.argv); got != c.want {
					t.Errorf("%s: %q may be run: %t", what, c.argv, got)
				}
			}
			if trust.MayRun(at(ca), "other.corp", tt.file(tt.dir+"vicr-registry.corp_443_.crt")) {
				t.Error("the file of another registry")
			}
			nowhere := at(nil) // vicr would put no CA there, so none is to be taken out
			nowhere.Dirs.MachineState = ""
			for _, argv := range [][]string{tt.undo(hash(ca)), tt.file("")} {
				if trust.MayRun(nowhere, "registry.corp", argv) {
					t.Errorf("%q may be run where there is no folder for the CAs", argv)
				}
			}
		})
	}
}
