//go:build unix

package install_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/install"
	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/testkit"
	"github.com/vicr-cli/vicr/internal/trust"
)

const registry = "registry.example:5000"

func request(t *testing.T, ca *testkit.Cert) trust.Request {
	t.Helper()
	h, err := ref.ParseHost(registry)
	if err != nil {
		t.Fatal(err)
	}
	return trust.Request{Host: h, Anchor: pki.Anchor{Cert: ca.Certificate}}
}

// siteOf opens the site of m, with journals of its own.
func siteOf(t *testing.T, m machine.Machine) *install.Site {
	t.Helper()
	m.Dirs.State, m.Dirs.MachineState = filepath.Join(t.TempDir(), "own"), filepath.Join(t.TempDir(), "machine")
	s, err := install.Open(m)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// The engine that is asked is the one whose half it is, and none before what it
// needs to read its files has been typed.
func TestEachHalfAsksItsOwnEngine(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	file := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(file, ca.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	step := func(restart string) change.Plan {
		return change.Plan{{Tool: string(trust.ToolDocker), Path: file, Op: change.OpWrite, Data: ca.PEM(), Restart: restart}}
	}
	const asked = "no basic auth credentials" // who says so has verified the registry
	for name, tt := range map[string]struct {
		half    install.Half
		restart string
		heard   []string
		proven  bool
		why     string
	}{
		"root's":                      {install.Machine, "", []string{"root's"}, true, asked},
		"the user's":                  {install.User, "", []string{"the user's"}, true, asked},
		"root's, after a restart":     {install.Machine, "systemctl restart docker", nil, false, "it counts after: systemctl restart docker"},
		"the user's, after a restart": {install.User, "quit it", nil, false, "it counts after: quit it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var heard []string
			engine := func(whose string) string {
				return testkit.EngineSaying(t, asked, func(string) { heard = append(heard, whose) })
			}
			m := machine.Machine{GOOS: "linux", Docker: machine.Docker{Socket: engine("root's"), Variants: []machine.Variant{
				{Kind: machine.Snap, Socket: engine("a snap's")},
				{Kind: machine.Rootless, Socket: engine("the user's"), User: true},
				{Kind: machine.Desktop, Socket: engine("a desktop's"), User: true},
			}}}
			planned := trust.Planned{Tools: []trust.Tool{trust.ToolDocker}}
			if tt.half == install.User {
				planned.User = step(tt.restart)
			} else {
				planned.Machine = step(tt.restart)
			}
			var facts []install.Fact
			p := install.Prover{
				Site: siteOf(t, m), Request: request(t, ca), Planned: planned, Fact: func(f install.Fact) { facts = append(facts, f) },
			}
			if err := p.Prove(t.Context(), tt.half); err != nil {
				t.Fatal(err)
			}
			if len(facts) != 1 || facts[0].Proven != tt.proven || !strings.Contains(facts[0].Why, tt.why) || !slices.Equal(heard, tt.heard) {
				t.Errorf("asked %q, found out %+v", heard, facts)
			}
		})
	}
}

// When nobody names tools, one that was set up before is planned again also
// where it is not found any more, and then nothing says that it was not.
func TestToolsThatWereSetUpBeforeArePlannedAgain(t *testing.T) {
	t.Parallel()
	ca, home := testkit.NewCA(t), t.TempDir()
	s := siteOf(t, machine.Look(machine.Options{GOOS: "linux", Home: home, Euid: 1000, FS: fstest.MapFS{}}))
	r := request(t, ca)
	plan := func(subject string) trust.Planned {
		t.Helper()
		p, err := s.Plan(t.Context(), r, subject)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	before := plan(registry)
	if !slices.Contains(before.NotFound, trust.ToolPodman) || slices.Contains(before.Tools, trust.ToolPodman) {
		t.Fatalf("before: %+v", before)
	}
	named := r
	named.Tools = []trust.Tool{trust.ToolPodman}
	p, err := s.Plan(t.Context(), named, registry)
	if err != nil || len(p.User) == 0 {
		t.Fatalf("%+v, %v", p, err)
	}
	subject := change.Subject{Host: registry, Trust: change.Trust{How: "asked", NotAfter: time.Now()}}
	if err := s.Apply(t.Context(), install.User, subject, p, nil); err != nil {
		t.Fatal(err)
	}
	again := plan(registry)
	rest := slices.DeleteFunc(slices.Clone(before.NotFound), func(t trust.Tool) bool { return t == trust.ToolPodman })
	if fmt.Sprint(again.Tools) != fmt.Sprint(append(before.Tools, trust.ToolPodman)) || !slices.Equal(again.NotFound, rest) {
		t.Errorf("tools %v, not found %v; before %v and %v", again.Tools, again.NotFound, before.Tools, before.NotFound)
	}
	if other := plan("other.example"); !slices.Equal(other.NotFound, before.NotFound) || !slices.Equal(other.Tools, before.Tools) {
		t.Errorf("for another registry: %+v", other)
	}
}
