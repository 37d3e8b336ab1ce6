package machine_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/vicr-cli/vicr/internal/machine"
)

// systemd.unit(5): a unit file that is empty masks the unit, and its drop-ins.
func TestAnEmptyUnitFileMasksTheUnit(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]string{"with a drop-in": "[Service]\nExecStart=/usr/bin/dockerd --insecure-registry a\n", "alone": "[Service]\n"} {
		fsys := live(map[string]string{unitPath: debianUnit, dropIn: start, "/etc/default/docker": "DOCKER_OPTS=x\n"})
		fsys[machine.Name("/etc/systemd/system/docker.service")] = &fstest.MapFile{Mode: 0o644}
		d := machine.Look(machine.Options{GOOS: "linux", FS: fsys}).Docker.Daemon
		if d.Unit != "" || len(d.FlagFiles) > 0 || len(d.InsecureFlags) > 0 || len(d.Ignored) != 1 || d.Ignored[0].Why != "no systemd unit that is here reads it" {
			t.Errorf("%s: got %+v", name, d)
		}
	}
}

// Who fills a folder with drop-ins does not make vicr read them without end.
func TestDropInsAreReadUpToALimit(t *testing.T) {
	t.Parallel()
	const most = 256
	content := map[string]string{unitPath: ceUnit}
	for n := range most + 1 {
		content[fmt.Sprintf("/etc/systemd/system/docker.service.d/%03d.conf", n)] = fmt.Sprintf("[Service]\nExecStart=\nExecStart=/usr/bin/dockerd --insecure-registry r%d\n", n)
	}
	d := machine.Look(machine.Options{GOOS: "linux", FS: live(content)}).Docker.Daemon
	if want := fmt.Sprintf("r%d", most-1); !slices.Equal(d.InsecureFlags, []string{want}) {
		t.Errorf("the last that counts is %q, want %s", d.InsecureFlags, want)
	}
}
