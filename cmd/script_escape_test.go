package cmd

import (
	"encoding/json"
	"errors"
	"io"
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

// What a server sends steers no terminal, however it is printed. Programs that
// read a template get it as it is, and JSON says the same in either case.
func TestNoResultSteersTheTerminal(t *testing.T) {
	t.Parallel()
	type result struct{ Name string }
	foreign := result{"a\x1b[2J\u009b31m\u202e\U000e0001\x7f\rb"}
	text := func(w io.Writer) error { return line("%s", foreign.Name)(w) }
	for _, tt := range []struct {
		format string
		shown  bool
		same   bool // as the server sent it
	}{
		{"table", true, false},
		{"table", false, false},
		{"json", true, false},
		{"json", false, false},
		{"{{.Name}}", true, false},
		{"{{.Name}}", false, true},
		{"raw", true, false},
		{"raw", false, true},
	} {
		var out strings.Builder
		a := &app{env: Env{Stdout: &out, Shown: tt.shown}}
		err := error(nil)
		if a.flags.format = tt.format; tt.format == "raw" {
			err = a.bytes([]byte(foreign.Name+"\n"), nil)
		} else {
			err = a.result(foreign, text)
		}
		if err != nil {
			t.Fatal(err)
		}
		got := strings.TrimSuffix(out.String(), "\n")
		if (got == foreign.Name) != tt.same || strings.ContainsFunc(got, unsafeRune) == !tt.same {
			t.Errorf("%s, terminal %v: %q", tt.format, tt.shown, got)
		}
		var back result
		if tt.format == "json" && (json.Unmarshal([]byte(got), &back) != nil || back != foreign) {
			t.Errorf("JSON %s says %q", got, back.Name)
		}
	}
	a := &app{env: Env{Stdout: io.Discard, Shown: true}}
	if got := string(shownText([]byte("one\ttwo\nthree\x1b\xff"))); got != "one\ttwo\nthree\\x1b\\ufffd" || a.print(nil) != nil {
		t.Errorf("%q", got)
	}
}
