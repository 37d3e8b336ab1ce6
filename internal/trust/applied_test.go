package trust_test

import (
	"runtime"
	"testing"

	"github.com/vicr-cli/vicr/internal/atomicfile"
	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/testkit"
	"github.com/vicr-cli/vicr/internal/trust"
)

func TestSecondPlanHasNothingLeftToDo(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("a file name of Linux has a colon")
	}
	root := t.TempDir()
	tree, err := atomicfile.Beneath(root)
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close() //nolint:errcheck // only a handle on a folder
	m := machine.Look(machine.Options{GOOS: "linux", Root: root})
	h := host(t, "registry.corp")
	journal := change.OpenJournal(tree, m.Dirs.MachineState, nil)
	for _, ca := range []*testkit.Cert{testkit.NewCA(t), testkit.NewCA(t)} {
		r := trust.Request{Host: h, Anchor: pki.Anchor{Cert: ca.Certificate}, Tools: []trust.Tool{trust.ToolDocker}}
		p := plan(t, m, r)
		if left, err := p.Machine.Pending(tree); err != nil || len(left) != 2 {
			t.Fatalf("to do are %v, %v", left, err)
		}
		subject := change.Subject{Host: h.String(), How: "fingerprint"}
		if err := journal.Apply(t.Context(), subject, p.Machine, nil); err != nil {
			t.Fatal(err)
		}
		p = plan(t, m, r)
		if left, err := p.Machine.Pending(tree); err != nil || len(left) != 0 || len(p.Replaces)+len(p.Notes) != 0 {
			t.Errorf("after it was applied, to do are %v, %v; notes %v, replaces %v", left, err, p.Notes, p.Replaces)
		}
		if r, err := trust.RecordedAnchor(m, h); err != nil || !r.Holds(ca.Certificate) {
			t.Errorf("recorded is %+v, %v", r, err)
		}
	}
}

func TestMayWriteIsWhatPlanWrites(t *testing.T) {
	t.Parallel()
	m, h := look(machine.Options{}), host(t, "registry.corp")
	p := plan(t, m, trust.Request{Host: h, Anchor: pki.Anchor{Cert: certificate(t, "ca.crt")}})
	for _, s := range append(p.User, p.Machine...) {
		if !trust.MayWrite(m, h, s.Path) {
			t.Errorf("%s is planned and may not be written", s.Path)
		}
		if trust.MayWrite(m, host(t, "other.corp"), s.Path) {
			t.Errorf("%s may be written for another host", s.Path)
		}
	}
	for _, path := range []string{"/etc/shadow", "/etc/docker/daemon.json", "/etc/docker/certs.d/registry.corp/other.crt", ""} {
		if trust.MayWrite(m, h, path) {
			t.Errorf("%q may be written", path)
		}
	}
}
