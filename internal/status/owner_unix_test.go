//go:build unix

package status_test

import (
	"syscall"
	"testing"

	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/status"
)

func TestAFileThatSomebodyElseOwns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.trusts(host, change.Record{Tool: "docker", Path: dockerCA})
	w.machine.Euid = 0
	w.files[machine.Name(dockerCA)].Sys = &syscall.Stat_t{Uid: 1000}
	if f := only(t, w.look()); f.Kind != status.KindOwner || f.Remedy != "sudo chown 0 "+dockerCA {
		t.Errorf("found %+v", f)
	}
	w.files[machine.Name(dockerCA)].Sys = &syscall.Stat_t{Uid: 0}
	if r := w.look(); !r.OK {
		t.Errorf("%+v", r)
	}
}
