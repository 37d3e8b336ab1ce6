package cmd

import (
	"errors"
	"strings"
	"testing"

	"github.com/fatih/color"
)

func TestNoKindOfArgumentSteersTheTerminal(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	a := &app{env: Env{Stderr: &out, Getenv: func(string) string { return "" }}}
	a.warn("%s", errors.New("\x1b[2J"))
	a.warn("%s", "größer, 画像 🙂, \u009b31m")
	if got := out.String(); strings.ContainsAny(got, "\x1b\u009b") || !strings.Contains(got, `\x1b[2J`) || !strings.Contains(got, `größer, 画像 🙂, \u009b31m`) {
		t.Errorf("printed %q", got)
	}
}

func TestColourIsForTerminalsThatWantIt(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		terminal bool
		flag     string
		env      string
		want     bool
	}{
		{true, "auto", "", true},
		{false, "auto", "", false},
		{true, "auto", "NO_COLOR=1", false},
		{true, "auto", "TERM=dumb", false},
		{true, "never", "", false},
		{false, "always", "NO_COLOR=1", true},
	} {
		name, value, _ := strings.Cut(tt.env, "=")
		a := &app{env: Env{Terminal: tt.terminal, Getenv: func(n string) string {
			if n == name {
				return value
			}
			return ""
		}}}
		a.flags.color = tt.flag
		if got := a.paint(color.FgRed, "x") != "x"; got != tt.want {
			t.Errorf("%+v: coloured is %v", tt, got)
		}
	}
}
