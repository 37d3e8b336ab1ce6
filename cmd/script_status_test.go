package cmd

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/status"
)

// What people see of a report; its text may come from outside.
func TestTheTableOfStatus(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	fp := "sha256:" + strings.Repeat("0123456789abcdef", 4)
	ca := status.Trust{Fingerprint: fp, How: "asked", NotAfter: "2027-01-01T00:00:00Z", DaysLeft: 200}
	old := status.Trust{Fingerprint: fp, NotAfter: "2020-01-01T00:00:00Z", DaysLeft: -3}
	err := statusText(&out, status.Report{Registries: []status.Registry{
		{
			Host: "registry.example:5000", User: "d\x1bev",
			Tools: []status.Tool{
				{Tool: "vicr", State: status.OK, Trust: ca},
				{Tool: "docker", State: status.Drift, Trust: status.Trust{How: "insecure"}},
			},
			Findings: []status.Finding{{Kind: status.KindGone, Path: "/etc/\x1b[2J", Text: "it is gone"}, {Kind: status.KindExpired, Text: "the CA expired"}},
		},
		{Host: "10.0.0.0/8", Tools: []status.Tool{{Tool: "docker", State: status.Pending, Trust: status.Trust{How: "insecure"}}}},
		{Host: "old.example", Tools: []status.Tool{{Tool: "k3s", State: status.OK, Trust: old}}},
	}})
	want := `REGISTRY               TOOL    STATE    CA                   VALID     ACCEPTED  USER
registry.example:5000  vicr    ok       sha256:0123456789ab  200 days  asked     d\x1bev
registry.example:5000  docker  drift    -                    -         insecure  d\x1bev
10.0.0.0/8             docker  pending  -                    -         insecure  -
old.example            k3s     ok       sha256:0123456789ab  expired   -         -
registry.example:5000: /etc/\x1b[2J: it is gone
registry.example:5000: the CA expired
`
	if err != nil || out.String() != want {
		t.Errorf("%v\n%s", err, out.String())
	}
}

// Each remedy is said once, and none of what only is told.
func TestTheHintsOfStatus(t *testing.T) {
	t.Parallel()
	var errs bytes.Buffer
	a := &app{env: Env{Stderr: &errs, Getenv: func(string) string { return "" }}}
	err := driftOf(status.Report{Registries: []status.Registry{{Findings: []status.Finding{
		{Kind: status.KindGone, Remedy: "mend"}, {Kind: status.KindChanged, Remedy: "mend"}, {Kind: status.KindRenew, Remedy: "wait"},
	}}}})
	a.fail(err)
	const want = "vicr: error: something on this machine is not as vicr left it\nvicr: hint: mend\n"
	if exitCode(err) != codeFailed || errs.String() != want {
		t.Errorf("exit code %d: %s", exitCode(err), errs.String())
	}
}

// The part that somebody else can see is named, and only that.
func TestStatusSaysWhatItCannotSee(t *testing.T) {
	t.Parallel()
	there := t.TempDir()
	for _, tt := range []struct {
		name  string
		euid  int
		sudo  string
		root  string
		state string
		want  string
	}{
		{"a user", 1000, "", "", there, unseenHint(runtime.GOOS, "status")},
		{"a user, and root recorded nothing", 1000, "", "", filepath.Join(there, "none"), ""},
		{"a user with a tree", 1000, "", "tree", there, ""},
		{"root", 0, "", "", there, ""},
		{"sudo", 0, strconv.Itoa(1 << 30), "", there, "as the user who called sudo: vicr status"},
		{"sudo with a tree", 0, strconv.Itoa(1 << 30), "tree", there, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if runtime.GOOS == "windows" && tt.sudo != "" {
				t.Skip("there is no sudo")
			}
			var errs bytes.Buffer
			a := &app{env: Env{Stderr: &errs, Euid: tt.euid, Now: time.Now, Getenv: func(name string) string {
				return map[string]string{"SUDO_UID": tt.sudo}[name]
			}}}
			a.sayUnseen(tt.root, a.unread(machine.Machine{GOOS: "linux", Root: tt.root, FS: os.DirFS("/"), Dirs: machine.Dirs{MachineState: tt.state}}))
			if got := errs.String(); (tt.want == "") != (got == "") || !strings.Contains(got, tt.want) {
				t.Errorf("said %q", got)
			}
		})
	}
}
