package shell_test

import (
	"os/exec"
	"runtime"
	"testing"

	"pgregory.net/rapid"

	"github.com/vicr-cli/vicr/internal/shell"
)

func TestWordsThatNeedNoQuotesHaveNone(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ goos, in, want string }{
		{"linux", "registry.corp:5000", "registry.corp:5000"},
		{"linux", "/etc/a=b,c@d%e+f", "/etc/a=b,c@d%e+f"},
		{"linux", "", "''"},
		{"linux", "[2001:db8::2]:5000", "'[2001:db8::2]:5000'"},
		{"linux", "~/x", "'~/x'"},
		{"linux", "it's", `'it'\''s'`},
		{"linux", `C:\x`, `'C:\x'`},
		{"windows", `C:\Users\ann\ca.crt`, `C:\Users\ann\ca.crt`},
		{"windows", `C:\Program Files\x`, `"C:\Program Files\x"`},
		{"windows", "docker,system", `"docker,system"`},
		{"windows", `a"&calc`, `"a&calc"`},
		{"windows", "", `""`},
	} {
		if got := shell.Word(tt.goos, tt.in); got != tt.want {
			t.Errorf("%s: %q: %s, want %s", tt.goos, tt.in, got, tt.want)
		}
	}
}

// A shell takes a line apart into the words that it was made of.
func TestAShellReadsTheSameWords(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("there is no POSIX shell")
	}
	rapid.Check(t, func(t *rapid.T) {
		argv := rapid.SliceOfN(rapid.StringMatching(`[^\x00]{0,8}`), 1, 4).Draw(t, "argv")
		want := ""
		for _, w := range argv {
			want += w + "\n"
		}
		out, err := exec.Command("sh", "-c", `printf '%s\n' `+shell.Line("linux", argv)).Output() //nolint:gosec // that is what is tested
		if err != nil || string(out) != want {
			t.Fatalf("%q: %v, %q", argv, err, out)
		}
	})
}
