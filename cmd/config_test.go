package cmd

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
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

// A file that was written by hand is named, with what is wrong in it, before
// anything is done.
func TestWhatIsWrongInTheSettingsIsNamed(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "settings.json")
	for name, value := range map[string]string{
		"jobs": "0", "to": "nowhere", "timeout": "-1s", "progress": "fast", "color": "red", "quiet": "maybe",
	} {
		raw, err := json.Marshal(map[string]string{name: value})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		a := &app{env: Env{Getenv: func(string) string { return "" }}}
		pull, _, err := newRoot(a).Find([]string{"pull"})
		if err != nil {
			t.Fatal(err)
		}
		if err := pull.ParseFlags(nil); err != nil {
			t.Fatal(err)
		}
		err = a.fromSettings(pull, file)
		if err == nil || exitCode(err) != codeUsage {
			t.Errorf("%s: %v", raw, err)
			continue
		}
		hints := ruleFor(err).hintsFor(err)
		if text := err.Error(); !strings.Contains(text, file) || !strings.Contains(text, name) || strings.Contains(text, "strconv") ||
			len(hints) != 1 || !strings.Contains(hints[0], "vicr config set "+name) {
			t.Errorf("%s: %s, %q", raw, text, hints)
		}
	}
}

// Wherever a flag's value is from, it is refused in words for people, and what was
// given to a switch is not repeated.
func TestValuesAreRefusedInOurWords(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"pull --jobs many x/y":             `--jobs "many": not a number`,
		"pull --timeout soon x/y":          `--timeout "soon": not a time such as 30s or 2m`,
		"pull --quiet=hunter2 x/y":         "--quiet takes true or false",
		"login --password-stdin=hunter2 x": "--password-stdin takes true or false",
		"config set jobs many":             `--jobs "many": not a number`,
		"config set quiet hunter2":         "--quiet takes true or false",
	} {
		root := newRoot(&app{env: Env{Getenv: func(string) string { return "" }}})
		root.SetArgs(strings.Fields(args))
		err := root.ExecuteContext(t.Context())
		if err == nil || exitCode(err) != codeUsage || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", args, err)
		}
	}
	env := map[string]string{"VICR_JOBS": "many"}
	a := &app{env: Env{Getenv: func(name string) string { return env[name] }}}
	pull, _, err := newRoot(a).Find([]string{"pull"})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.fromEnvironment(pull); err == nil || err.Error() != `VICR_JOBS: --jobs "many": not a number` {
		t.Errorf("VICR_JOBS: %v", err)
	}
}
