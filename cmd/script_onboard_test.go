//go:build unix

package cmd

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/testkit"
)

// No script has an engine to ask: here it is one that answers every pull with
// one message.
func TestOnboardAsksTheEngine(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, message, tools string
		code                 int
		words                string
	}{
		{"trusts", "no basic auth credentials", "", codeDone, "proven: the Docker engine trusts registry.example:5000"},
		{"named", "no basic auth credentials", "vicr,docker", codeDone, "proven: the Docker engine trusts"},
		{"refuses", "x509: certificate signed by unknown authority", "", codeUntrusted, "does not trust registry.example:5000"},
		{"says something else", "the moon is full", "", codeDone, "not proven: "},
		{"was not named", "x509: certificate signed by unknown authority", "vicr", codeDone, "--for does not name it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			socket := testkit.EngineSaying(t, tt.message, nil)
			if code, stderr := askEngine(t, "unix://"+socket, tt.tools); code != tt.code || !strings.Contains(stderr, tt.words) {
				t.Errorf("exit code %d, want %d: %s", code, tt.code, stderr)
			}
		})
	}
}

// An engine that is configured and does not answer is an error, here as in pull.
func TestOnboardWithAnEngineThatIsAway(t *testing.T) {
	t.Parallel()
	if code, stderr := askEngine(t, "unix://"+filepath.Join(t.TempDir(), "none.sock"), ""); code != codeFailed || !strings.Contains(stderr, "start the engine") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func askEngine(t *testing.T, dockerHost, tools string) (code int, stderr string) {
	t.Helper()
	var errs bytes.Buffer
	home := t.TempDir()
	env := map[string]string{"HOME": home, "USERPROFILE": home, "DOCKER_HOST": dockerHost}
	a := &app{env: Env{Stderr: &errs, Getenv: func(name string) string { return env[name] }, Now: time.Now, Euid: 1000}}
	h, err := ref.ParseHost("registry.example:5000")
	if err != nil {
		t.Fatal(err)
	}
	c := newOnboard(a)
	if err := c.Flags().Set("for", tools); err != nil {
		t.Fatal(err)
	}
	o := &onboarding{app: a, host: h, flags: c.Flags()}
	if err = o.asking(t.Context()); err != nil {
		a.fail(err)
	}
	return exitCode(err), errs.String()
}

func TestOnboardIsForOneself(t *testing.T) {
	t.Parallel()
	env := map[string]string{"SUDO_UID": "1000"}
	a := &app{env: Env{Getenv: func(name string) string { return env[name] }}}
	a.flags.format = "table"
	c := newOnboard(a)
	if err := c.RunE(c, []string{"registry.example"}); exitCode(err) != codeUsage {
		t.Errorf("under sudo: %v", err)
	}
}
