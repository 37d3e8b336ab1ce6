package edit_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/vicr-cli/vicr/internal/edit"
)

// evaluated is what sh makes of the variable in each of the files 0, 1 ... of a
// folder, cut into words as an unquoted $VAR is. One shell reads them all.
func evaluated(t *testing.T, dir string, files int) [][]string {
	t.Helper()
	script := `i=0; while [ $i -lt ` + strconv.Itoa(files) + ` ]; do
		sh -n ./$i || { echo "sh -n refuses $i" >&2; exit 1; }
		( . ./$i >/dev/null 2>&1; printf '%s' "$` + shellName + `" ); printf '\0'
		i=$((i+1)); done`
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", script)
	cmd.Dir, cmd.Env = dir, []string{"PATH=/usr/bin:/bin", "OTHER=--from-other", "HOME=/h"}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	values := strings.Split(string(out), "\x00")
	if err != nil || len(values) != files+1 {
		t.Fatalf("%v, %d values: %s", err, len(values), &stderr)
	}
	var words [][]string
	for _, v := range values[:files] {
		words = append(words, normal(strings.Fields(v)))
	}
	return words
}

// The shell itself says that the value is the old words and ours.
func TestShellReadsTheSameWords(t *testing.T) {
	t.Parallel()
	e := editsOf(edit.Shell)[0]
	r := e
	r.Remove = true
	texts := shellDocs()
	gen := rapid.Custom(shellDocument)
	for seed := range 150 {
		texts = append(texts, doc{strconv.Itoa(seed), gen.Example(seed)})
	}
	dir := t.TempDir()
	var written []string
	for _, d := range texts {
		after, err := e.Apply([]byte(d.text))
		if err != nil {
			continue
		}
		without := must(t, "remove", r.Apply, after)
		for _, text := range []string{d.text, string(after), string(without)} {
			if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(len(written))), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			written = append(written, text)
		}
	}
	if len(written) < 300 {
		t.Fatalf("only %d files", len(written))
	}
	got := evaluated(t, dir, len(written))
	flag := "--insecure-registry=" + e.Value
	for i := 0; i < len(got); i += 3 {
		before, after, without := got[i], got[i+1], got[i+2]
		want := slices.Clone(before)
		if written[i+1] != written[i] {
			want = normal(append(want, flag))
		}
		if !slices.Equal(after, want) {
			t.Errorf("sh reads %q, want %q, in\n%s\nbefore\n%s", after, want, written[i+1], written[i])
		}
		want = slices.DeleteFunc(slices.Clone(want), func(w string) bool { return w == flag })
		if !slices.Equal(without, want) {
			t.Errorf("sh reads %q, want %q, in\n%s", without, want, written[i+2])
		}
	}
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
