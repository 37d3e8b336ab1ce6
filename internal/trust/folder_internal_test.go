package trust

import (
	"testing"

	"github.com/vicr-cli/vicr/internal/machine"
)

func TestFolderRefusesNamesThatLeadElsewhere(t *testing.T) {
	t.Parallel()
	m := machine.Machine{GOOS: "linux"}
	for _, name := range []string{"", ".", "..", "...", "a/b", "../x", "/x", `a\b`, `..\x`, "a\x00"} {
		if got := folder(m, "/etc/docker/certs.d", name); got != "" {
			t.Errorf("%q leads to %q", name, got)
		}
	}
	if got := folder(m, "/etc/docker/certs.d", "[2001:db8::2]:5000"); got != "/etc/docker/certs.d/[2001:db8::2]:5000" {
		t.Errorf("an ordinary name leads to %q", got)
	}
}

func TestQuoteMakesOneWordOfTheShell(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ goos, in, want string }{
		{"linux", "/etc/docker", "/etc/docker"},
		{"linux", "", "''"},
		{"linux", "[2001:db8::2]", "'[2001:db8::2]'"},
		{"darwin", "/a b", "'/a b'"},
		{"linux", "a'; rm -rf /; '", `'a'\''; rm -rf /; '\'''`},
		{"windows", `C:\ProgramData`, `C:\ProgramData`},
		{"windows", `C:\a b`, `"C:\a b"`},
		{"windows", `C:\a" & del *`, `"C:\a & del *"`},
	} {
		p := planner{m: machine.Machine{GOOS: tt.goos}}
		if got := p.quote(tt.in); got != tt.want {
			t.Errorf("%s: %q is quoted as %s, want %s", tt.goos, tt.in, got, tt.want)
		}
	}
}
