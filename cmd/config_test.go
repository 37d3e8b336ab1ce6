package cmd

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// Settings are those of whoever owns the home: root that was reached through
// sudo has none.
func TestSettingsAreNotReadUnderSudo(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("there is no sudo")
	}
	file := filepath.Join(t.TempDir(), "settings.json")
	if err := os.WriteFile(file, []byte(`{"to": "store"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for sudo, want := range map[string]string{"": "store", "1000": "auto"} {
		env := map[string]string{"SUDO_UID": sudo}
		a := &app{env: Env{Getenv: func(name string) string { return env[name] }}}
		pull, _, err := newRoot(a).Find([]string{"pull"})
		if err != nil {
			t.Fatal(err)
		}
		if err := a.fromSettings(pull, file); err != nil {
			t.Fatal(err)
		}
		if to := pull.Flags().Lookup("to"); to.Value.String() != want || to.Changed {
			t.Errorf("SUDO_UID %q: --to %s, want %s; as if typed: %t", sudo, to.Value, want, to.Changed)
		}
	}
}

// What can be kept is a flag of a command, and may come from a variable too.
func TestEverySettingIsAFlagWithATwin(t *testing.T) {
	t.Parallel()
	root := newRoot(&app{env: Env{Getenv: func(string) string { return "" }}})
	for _, name := range settable {
		if flagOf(root, name) == nil || noTwin[name] {
			t.Errorf("%s is no such flag", name)
		}
	}
}
