package cmd

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A value that a flag does not take is refused in the words of the user, and a
// password that was put behind a switch is not repeated.
func TestValuesThatFlagsDoNotTake(t *testing.T) {
	t.Parallel()
	for what, tt := range map[string]struct {
		args     []string
		variable string
		value    string
		settings string
		says     string
	}{
		"a password":   {args: []string{"login", "--password-stdin=s3cret", "h:5000"}, says: "--password-stdin takes true or false"},
		"a number":     {args: []string{"pull", "--jobs", "x", "h:5000/a:1"}, says: `--jobs "x": not a number`},
		"a time":       {args: []string{"pull", "--timeout", "x", "h:5000/a:1"}, says: `--timeout "x": not a time such as`},
		"a variable":   {args: []string{"pull", "h:5000/a:1"}, variable: "VICR_JOBS", value: "x", says: `VICR_JOBS: --jobs "x": not a number`},
		"a secret one": {args: []string{"login", "h:5000"}, variable: "VICR_PASSWORD_STDIN", value: "s3cret", says: "VICR_PASSWORD_STDIN: --password-stdin takes true or false"},
		"to be kept":   {args: []string{"config", "set", "timeout", "x"}, says: `--timeout "x": not a time such as`},
		"kept":         {args: []string{"pull", "h:5000/a:1"}, settings: `{"jobs": "x"}`, says: `--jobs "x": not a number`},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			home := t.TempDir()
			if tt.settings != "" {
				dir := filepath.Join(home, ".config", "vicr")
				if err := os.MkdirAll(dir, 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, "settings.json"), []byte(tt.settings), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			vars := map[string]string{"HOME": home, "XDG_CONFIG_HOME": filepath.Join(home, ".config"), tt.variable: tt.value}
			var out, errs bytes.Buffer
			env := Env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Getenv: func(name string) string { return vars[name] }, Now: time.Now, Euid: 1000}
			code, said := Main(tt.args, env), errs.String()
			if code != codeUsage || !strings.Contains(said, tt.says) {
				t.Errorf("exit %d: %s, want %q", code, said, tt.says)
			}
			for _, bad := range []string{"s3cret", "strconv", "time:", "invalid"} {
				if strings.Contains(said, bad) {
					t.Errorf("it says %q: %s", bad, said)
				}
			}
		})
	}
}
