package cmd

import (
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// twinned are the flags of all commands that a variable of the environment sets.
func twinned(t *testing.T, euid int, more map[string]string) []string {
	t.Helper()
	values := map[string]string{"bool": "true", "duration": "1s", "int": "2", "string": "x"}
	found := map[string]bool{}
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			visit(sub)
		}
		c.InitDefaultHelpFlag()
		env := maps.Clone(more)
		c.InheritedFlags() // merges them
		c.Flags().VisitAll(func(f *pflag.Flag) {
			v := values[f.Value.Type()]
			if v == "" {
				v = strings.Repeat("ab", 32) // a fingerprint
			}
			env["VICR_"+strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))] = v
		})
		a := &app{env: Env{Euid: euid, Getenv: func(name string) string { return env[name] }}}
		if err := a.fromEnvironment(c); err != nil {
			t.Errorf("%s: %v", c.Name(), err)
		}
		c.Flags().VisitAll(func(f *pflag.Flag) { found[f.Name] = found[f.Name] || f.Changed })
	}
	visit(newRoot(&app{env: Env{Getenv: func(string) string { return "" }}}))
	maps.DeleteFunc(found, func(_ string, set bool) bool { return !set })
	return slices.Sorted(maps.Keys(found))
}

// Whoever adds a flag decides here whether a variable may set it: not if it
// agrees to something, weakens something or says where a secret goes.
func TestOnlyHarmlessFlagsHaveATwinInTheEnvironment(t *testing.T) {
	t.Parallel()
	want := []string{
		"all-platforms", "all-tags", "chunk-size", "color", "config", "debug", "dir", "dry-run", "for", "format", "from", "in", "jobs", "like", "no-input", "offline",
		"password-stdin", "platform", "port", "progress", "quiet", "raw", "referrers", "remote", "timeout", "to", "username",
	}
	if got := twinned(t, 1000, map[string]string{}); !slices.Equal(got, want) {
		t.Errorf("flags with a twin:\n%q, want\n%q", got, want)
	}
	if runtime.GOOS == "windows" {
		return // there is no sudo
	}
	if got := twinned(t, 0, map[string]string{"SUDO_UID": "1000"}); len(got) > 0 {
		t.Errorf("under sudo, where the environment is somebody else's: %q", got)
	}
}
