package trust_test

import (
	"runtime"
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
