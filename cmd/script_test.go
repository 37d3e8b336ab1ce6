package cmd_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/vicr-cli/vicr/cmd"
)

func TestMain(m *testing.M) {
	vicr := func() { os.Exit(cmd.Main(os.Args[1:], cmd.OS())) }
	testscript.Main(m, map[string]func(){"vicr": vicr, "docker-vicr": vicr})
}

func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("..", "testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               privateHome,
		Cmds:                scriptCommands(),
		Condition: func(name string) (bool, error) {
			if name != "root" {
				return false, fmt.Errorf("no condition %q", name)
			}
			return os.Geteuid() == 0, nil
		},
	})
}

// privateHome keeps every script inside its own folder.
func privateHome(e *testscript.Env) error {
	home := filepath.Join(e.WorkDir, "home")
	if err := os.Mkdir(home, 0o700); err != nil {
		return err
	}
	for _, v := range [][2]string{
		{"HOME", home},
		{"USERPROFILE", home},
		{"XDG_CONFIG_HOME", filepath.Join(home, "config")},
		{"XDG_DATA_HOME", filepath.Join(home, "data")},
		{"XDG_STATE_HOME", filepath.Join(home, "state")},
		{"XDG_CACHE_HOME", filepath.Join(home, "cache")},
		{"DOCKER_CONFIG", filepath.Join(home, "docker")},
		{"DOCKER_HOST", "unix://" + filepath.Join(e.WorkDir, "no-engine.sock")},
		{"NO_COLOR", "1"},
	} {
		e.Setenv(v[0], v[1])
	}
	return nil
}
