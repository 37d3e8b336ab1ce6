//go:build linux

package edit_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/vicr-cli/vicr/internal/edit"
)

// wordsOf is what sh makes of the variable, cut as an unquoted $VAR is.
func wordsOf(t rapid.TB, dir string, text []byte) []string {
	t.Helper()
	file := filepath.Join(dir, "docker")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"-n", file}, {"-c", ". ./docker; printf %s \"$" + shellName + "\""}} {
		cmd := exec.Command("/bin/sh", args...)
		cmd.Dir, cmd.Env = dir, []string{"PATH=/usr/bin:/bin", "OTHER=--from-other", "HOME=/h"}
		out, err := cmd.Output()
		if err != nil && args[0] == "-n" {
			t.Fatalf("sh %q: %v in\n%s", args, err, text)
		}
		if args[0] == "-c" {
			return strings.Fields(string(out))
		}
	}
	return nil
}

// The shell itself says that the value is the old words and ours.
func TestShellReadsTheSameWords(t *testing.T) {
	t.Parallel()
	check := func(t rapid.TB, dir, text string) {
		t.Helper()
		e := editsOf(edit.Shell)[0]
		after, err := e.Apply([]byte(text))
		if err != nil {
			return
		}
		before := wordsOf(t, dir, []byte(text))
		got := wordsOf(t, dir, after)
		want := before
		if string(after) != text {
			want = append(before, "--insecure-registry="+e.Value)
		}
		if !slices.Equal(normal(got), normal(want)) {
			t.Fatalf("sh reads %q, want %q, from\n%s\nbefore\n%s", got, want, after, text)
		}
		r := e
		r.Remove = true
		without := must(t, "remove", r.Apply, after)
		rest := wordsOf(t, dir, without)
		want = slices.DeleteFunc(normal(want), func(w string) bool { return w == "--insecure-registry="+e.Value })
		if !slices.Equal(normal(rest), want) {
			t.Fatalf("sh reads %q, want %q, from\n%s", rest, want, without)
		}
	}
	for _, d := range shellDocs() {
		check(t, t.TempDir(), d.text)
	}
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) { check(rt, dir, shellDocument(rt)) })
}

// normal is the words in order, each flag as one word.
func normal(words []string) []string {
	var out []string
	for i := 0; i < len(words); i++ {
		w := words[i]
		if w == "--insecure-registry" && i+1 < len(words) {
			i++
			w += "=" + words[i]
		}
		out = append(out, w)
	}
	slices.Sort(out)
	return out
}

func TestShellFlags(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text, variable string
		want           []string
		line           int
	}{
		{"", "OPTIONS", nil, 0},
		{"#OPTIONS='--insecure-registry a:1'\n", "OPTIONS", nil, 0},
		{"\nINSECURE_REGISTRY='--insecure-registry a:1'\n", "INSECURE_REGISTRY", []string{"a:1"}, 2},
		{"OPTIONS='--selinux-enabled --insecure-registry=a:1 --log-driver=journald --insecure-registry  b:2'\n", "OPTIONS", []string{"a:1", "b:2"}, 1},
		{"other_args=\"\"\n", "other_args", nil, 1},
		{"export OPTIONS=\"--insecure-registry \\\n a:1\"", "OPTIONS", []string{"a:1"}, 1},
		{"OPTIONS=--insecure-registry=a\nOPTIONS=\"$OPTIONS --insecure-registry b\"\n", "OPTIONS", []string{"a", "b"}, 2},
		{"OPTIONS=--insecure-registry=a\nOPTIONS=\"--insecure-registry\"\n", "OPTIONS", nil, 2},
		{"OPTIONS=\"--insecure-registry $A --insecure-registry=\"'b'\n", "OPTIONS", []string{"b"}, 1},
		{"OPTIONS=--insecure-registry=a true\n", "OPTIONS", nil, 0},
	} {
		got, line, err := edit.ShellFlags([]byte(c.text), c.variable)
		if err != nil || !slices.Equal(got, c.want) || line != c.line {
			t.Errorf("%q: %q, %d, %v", c.text, got, line, err)
		}
	}
	_, _, err := edit.ShellFlags([]byte("A=1\nOPTIONS=`hunter2`"), "OPTIONS")
	onlySyntax(t, err, secret)
	if !strings.Contains(err.Error(), "line 2") {
		t.Error(err)
	}
}
