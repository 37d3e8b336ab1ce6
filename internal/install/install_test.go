package install_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/edit"
	"github.com/vicr-cli/vicr/internal/install"
	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/testkit"
	"github.com/vicr-cli/vicr/internal/trust"
)

func TestAnEngineIsNotRestartedUnderRunningContainers(t *testing.T) {
	t.Parallel()
	restart := trust.Planned{Machine: change.Plan{{Tool: string(trust.ToolDocker), Op: change.OpRun, Run: &change.Command{Argv: []string{"/bin/true"}}}}}
	reload := trust.Planned{Machine: change.Plan{{Tool: string(trust.ToolDocker), Op: change.OpReload}}}
	other := trust.Planned{Machine: change.Plan{{Tool: string(trust.ToolK3s), Op: change.OpRun}}}
	for name, tt := range map[string]struct {
		running int
		live    bool
		planned trust.Planned
		refused bool
	}{
		"two run":                    {2, false, restart, true},
		"two run and live on":        {2, true, restart, false},
		"none runs":                  {0, false, restart, false},
		"two run and it is a reload": {2, false, reload, false},
		"two run and k3s restarts":   {2, false, other, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := machine.Machine{GOOS: "linux", Docker: machine.Docker{Socket: testkit.EngineInfo(t, func() map[string]any {
				return map[string]any{"ContainersRunning": tt.running, "LiveRestoreEnabled": tt.live}
			}, "", nil)}}
			m.Dirs.State, m.Dirs.MachineState = t.TempDir(), t.TempDir()
			s, err := install.Open(m)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			var busy *install.BusyError
			if err := s.Ready(t.Context(), tt.planned); errors.As(err, &busy) != tt.refused {
				t.Errorf("got %v, want a refusal: %v", err, tt.refused)
			}
		})
	}
}

// Docker before 1.12 does not start with a daemon.json that has the list.
func TestPain02TheEngineIsTooOldForTheKey(t *testing.T) {
	t.Parallel()
	list := func(remove bool) trust.Planned {
		return trust.Planned{Machine: change.Plan{{Tool: string(trust.ToolDocker), Op: change.OpEdit, Edit: &edit.Edit{Format: edit.JSON, Value: "h:5000", Remove: remove}}}}
	}
	flags := trust.Planned{Machine: change.Plan{{Tool: string(trust.ToolDocker), Op: change.OpEdit, Edit: &edit.Edit{Format: edit.Shell, Value: "h:5000"}}}}
	ca := trust.Planned{Machine: change.Plan{{Tool: string(trust.ToolDocker), Op: change.OpWrite}}}
	away := filepath.Join(t.TempDir(), "none.sock")
	for name, tt := range map[string]struct {
		version, api string // "": nothing answers
		planned      trust.Planned
		refused      bool
	}{
		"1.10":                  {"1.10.3", "1.22", list(false), true},
		"1.11":                  {"1.11.2-cs5", "1.23", list(false), true},
		"1.12":                  {"1.12.6", "1.24", list(false), false},
		"20.10":                 {"20.10.24", "1.41", list(false), false},
		"no number":             {"library-import", "1.41", list(false), false},
		"Podman":                {"4.3.1", "1.41", list(false), false},
		"nothing answers":       {"", "", list(false), false},
		"an entry is taken out": {"1.10.3", "1.22", list(true), false},
		"a flag":                {"1.10.3", "1.22", flags, false},
		"a CA":                  {"1.10.3", "1.22", ca, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := machine.Machine{GOOS: "linux", Docker: machine.Docker{Socket: away}}
			if tt.version != "" {
				m.Docker.Socket = testkit.EngineOf(t, tt.version, tt.api)
			}
			m.Dirs.State, m.Dirs.MachineState = t.TempDir(), t.TempDir()
			s, err := install.Open(m)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			err = s.Ready(t.Context(), tt.planned)
			if old, is := errors.AsType[*install.OldEngineError](err); is != tt.refused || is && old.Version != tt.version || !is && err != nil {
				t.Errorf("got %v, want a refusal: %v", err, tt.refused)
			}
		})
	}
}

func TestToolsBelongToTheHalfThatWritesForThem(t *testing.T) {
	t.Parallel()
	p := trust.Planned{
		User:    change.Plan{{Tool: "podman"}, {Tool: "vicr"}},
		Machine: change.Plan{{Tool: "k3s"}},
		Tools:   []trust.Tool{trust.ToolVicr, trust.ToolDocker, trust.ToolPodman, trust.ToolK3s},
	}
	for half, want := range map[install.Half]string{install.User: "[vicr podman]", install.Machine: "[docker k3s]"} {
		if got := install.Tools(p, half); fmt.Sprint(got) != want {
			t.Errorf("%s: %v, want %s", half, got, want)
		}
	}
	if only := install.Only(p, install.User); len(only.Machine) != 0 || len(only.User) != 2 || fmt.Sprint(only.Tools) != "[vicr podman]" {
		t.Errorf("the user's half alone: %+v", only)
	}
}
