//go:build e2e && linux

package proof_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/engine"
	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/proof"
	"github.com/vicr-cli/vicr/internal/testkit"
)

// A real engine takes over what daemon.json says when it is told, and only then.
func TestRealEngineTakesOverItsInsecureRegistries(t *testing.T) {
	rig := testkit.NewRig(t)
	config := rig.Etc("/etc/docker/daemon.json")
	if err := os.MkdirAll(filepath.Dir(config), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, config, []byte("{}\n"), 0o644)
	socket := strings.TrimPrefix(rig.Dockerd(t), "unix://")
	pidFile := rig.Etc("/run/docker.pid") // /var/run would be a link out of the rig
	m := machine.Machine{Docker: machine.Docker{Socket: socket, Daemon: machine.Daemon{PIDFile: pidFile, ConfigFile: config}}}
	e, err := engine.Open("unix://"+socket, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	info, err := e.Info(t.Context())
	if err != nil || info.Driver == "" || info.DataRoot == "" || info.Podman || info.Rootless || info.Running != 0 {
		t.Fatalf("%+v, %v", info, err)
	}
	t.Logf("%+v", info)

	reload := func(text string) {
		t.Helper()
		write(t, config, []byte(text), 0o644)
		data, err := os.ReadFile(pidFile)
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	settled := func(ok bool) {
		t.Helper()
		if err := proof.Settled(t.Context(), m, change.Reload{PIDFile: pidFile}); (err == nil) != ok {
			t.Errorf("settled: %v", err)
		}
	}
	in := func(want bool, hosts ...string) {
		t.Helper()
		facts, err := proof.DockerInsecure(t.Context(), socket, hosts, want)
		t.Logf("%+v", facts)
		if err != nil {
			t.Error(err)
		}
	}
	reload(`{"insecure-registries": ["192.0.2.2:5000", "http://Reg.Example.com:1", "198.51.100.7/24", "[2001:db8::2]:5000"]}`)
	settled(true)
	in(true, "192.0.2.2:5000", "198.51.100.0/24", "[2001:db8::2]:5000")
	reload(`{"insecure-registries": ["192.0.2.2:5001"]}`)
	settled(true)
	in(false, "192.0.2.2:5000", "198.51.100.0/24")
	reload(`{"insecure-registries": ["-192.0.2.2:5000"]}`) // a name that it refuses
	settled(false)
	reload(`{}`)
	settled(true) // nothing to wait for: it keeps what it had
	in(true, "192.0.2.2:5001")
	reload(`{"insecure-registries": []}`)
	settled(true)
	in(false, "192.0.2.2:5001")
}
