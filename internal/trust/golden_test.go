package trust_test

import (
	"bytes"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/atomicfile"
	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/trust"
)

var update = flag.Bool("update", false, "write the golden files anew")

// render shows all of a plan as text.
func render(p trust.Planned, r trust.Request) string {
	var b strings.Builder
	fmt.Fprintf(&b, "done once applied: %v\nnot found: %v\n", p.Tools, p.NotFound)
	for _, half := range []struct {
		name string
		plan change.Plan
	}{{"user", p.User}, {"machine", p.Machine}} {
		fmt.Fprintf(&b, "\n%s\n", half.name)
		for _, s := range half.plan {
			renderStep(&b, s, r)
		}
	}
	fmt.Fprint(&b, "\nskipped\n")
	for _, s := range p.Skipped {
		fmt.Fprintf(&b, "  %s: %s\n", s.Tool, s.Why)
		if s.Command != "" {
			fmt.Fprintf(&b, "    %s\n", s.Command)
		}
	}
	fmt.Fprint(&b, "\nnotes\n")
	for _, n := range p.Notes {
		fmt.Fprintf(&b, "  %s\n", n)
	}
	fmt.Fprint(&b, "\nreplaces\n")
	for _, r := range p.Replaces {
		fmt.Fprintf(&b, "  %s: %s: %d certificates, %v\n", r.Tool, r.Path, len(r.Was), r.Why)
	}
	fmt.Fprint(&b, "\npastes\n")
	for _, paste := range p.Pastes {
		fmt.Fprintf(&b, "  %s: %s\n", paste.Tool, paste.Why)
		indented(&b, strings.Join(paste.Lines, "\n"))
	}
	return b.String()
}

func renderStep(b *strings.Builder, s change.Step, r trust.Request) {
	mode := fmt.Sprintf("mode %04o, new folders %04o", s.Mode, s.DirMode)
	switch s.Op {
	case change.OpWrite:
		what := "these bytes"
		switch {
		case r.Anchor.Cert != nil && bytes.Equal(s.Data, pki.EncodePEM(r.Anchor.Cert)):
			what = "the anchor in PEM"
		case r.Client != nil && bytes.Equal(s.Data, r.Client.Cert):
			what = "the client certificate"
		case r.Client != nil && bytes.Equal(s.Data, r.Client.Key):
			what = "the client key"
		}
		fmt.Fprintf(b, "  %s: write %s, %s: %s", s.Tool, s.Path, mode, what)
		if s.Secret {
			fmt.Fprint(b, ", secret")
		}
		fmt.Fprintln(b)
		if what == "these bytes" {
			indented(b, string(s.Data))
		}
	case change.OpRemove:
		fmt.Fprintf(b, "  %s: remove %s\n", s.Tool, s.Path)
	case change.OpEdit:
		fmt.Fprintf(b, "  %s: edit %s, %s: %s key %s, value %s, remove %t\n", s.Tool, s.Path, mode, s.Edit.Format, s.Edit.Key, s.Edit.Value, s.Edit.Remove)
		indented(b, s.Edit.Body)
	case change.OpReload:
		fmt.Fprintf(b, "  %s: reload %s by %s, %v\n", s.Tool, s.Reload.Name, s.Reload.PIDFile, s.Reload.Exe)
	case change.OpRun:
		fmt.Fprintf(b, "  %s: run %q, undone by %q: %s\n", s.Tool, s.Run.Argv, s.Run.Undo, s.Run.What)
		if s.Run.Gone != "" {
			fmt.Fprintf(b, "    undone already if that says %q\n", s.Run.Gone)
		}
	}
	if s.Check != nil {
		fmt.Fprintf(b, "    judged by %q\n", s.Check)
	}
	if s.Restart != "" {
		fmt.Fprintf(b, "    counts after: %s\n", s.Restart)
	}
}

func indented(b *strings.Builder, text string) {
	for line := range strings.Lines(text) {
		fmt.Fprintf(b, "    | %s\n", strings.TrimRight(line, "\n"))
	}
}

func compare(t *testing.T, golden, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden) //nolint:gosec // a file of this package
	if err != nil {
		t.Fatal(err)
	}
	if w := strings.ReplaceAll(string(want), "\r\n", "\n"); w != got {
		t.Errorf("%s differs (go test -update writes it anew)\ngot:\n%s\nwant:\n%s", golden, got, w)
	}
}

func TestEveryGoldenPlanIsAsked(t *testing.T) {
	t.Parallel()
	all, err := filepath.Glob(filepath.Join("testdata", "plan", "*"))
	if err != nil || len(all) == 0 {
		t.Fatal("no golden plans", err)
	}
	tests, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var source []byte
	for _, f := range tests {
		data, err := os.ReadFile(f) //nolint:gosec // a file of this package
		if err != nil {
			t.Fatal(err)
		}
		source = append(source, data...)
	}
	for _, f := range all {
		name := strings.TrimSuffix(filepath.Base(f), ".golden")
		if !strings.Contains(string(source), `"`+name+`":`) {
			t.Errorf("%s belongs to no case", f)
		}
	}
}

// A row is one machine and one request. What of it is not said is a CA for
// registry.corp:5000, of a normal user, for the tools found.
type row struct {
	fs      map[string]string // files as those of [files]
	o       machine.Options
	root    bool // the user is root
	host    string
	network string
	tools   string
	ask     string // "", leaf, http, insecure, client, client alone
	restart bool
}

func (r row) request(t *testing.T) trust.Request {
	t.Helper()
	tools, err := trust.ParseTools(r.tools)
	if err != nil {
		t.Fatal(err)
	}
	q := trust.Request{Tools: tools, Restart: r.restart}
	if r.network != "" {
		q.Network, q.Insecure = netip.MustParsePrefix(r.network), true
		return q
	}
	q.Host = host(t, "registry.corp:5000")
	if r.host != "" {
		q.Host = host(t, r.host)
	}
	pair := &pki.Pair{Cert: []byte("CERT\n"), Key: []byte("KEY\n")}
	switch r.ask {
	case "http":
		q.Insecure, q.HTTP = true, true
	case "insecure":
		q.Insecure = true
	case "leaf":
		q.Anchor = pki.Anchor{Cert: certificate(t, "leaf.crt"), From: pki.FromChain, Leaf: true}
	case "client alone":
		q.Client = pair
	case "client":
		q.Client = pair
		fallthrough
	case "":
		q.Anchor = pki.Anchor{Cert: certificate(t, "ca.crt"), From: pki.FromFile}
	default:
		t.Fatalf("what is %q?", r.ask)
	}
	return q
}

func (r row) machine() machine.Machine {
	o := r.o
	if r.fs != nil {
		o.FS = files(r.fs)
	}
	if !r.root {
		return look(o)
	}
	if o.GOOS == "" {
		o.GOOS = "linux"
	}
	if o.FS == nil {
		o.FS = engine()
	}
	o.Home, o.Euid = "/home/ann", 0
	return machine.Look(o)
}

// join makes one machine of several.
func join(parts ...map[string]string) map[string]string {
	all := map[string]string{}
	for _, p := range parts {
		for k, v := range p {
			all[k] = v
		}
	}
	return all
}

func golden(t *testing.T, rows map[string]row) {
	t.Helper()
	for name, r := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := r.request(t)
			m := r.machine()
			p := plan(t, m, q)
			compare(t, filepath.Join("testdata", "plan", name+".golden"), render(p, q))
			allowed(t, m, q, p)
			sound(t, m, p)
		})
	}
}

// sound wants that both plans can be carried out as they are.
func sound(t *testing.T, m machine.Machine, p trust.Planned) {
	t.Helper()
	if m.GOOS != runtime.GOOS || runtime.GOOS == "windows" {
		return
	}
	tree, err := atomicfile.Beneath(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close() //nolint:errcheck // only a handle on a folder
	for _, half := range []change.Plan{p.User, p.Machine} {
		if left, err := half.Pending(tree); err != nil {
			t.Errorf("the plan is refused: %v", err)
		} else if _, err := left.Show(tree); err != nil {
			t.Errorf("the plan is not shown: %v", err)
		}
	}
}

// allowed wants that all that is planned may be done again from a journal, for
// this subject and no other's files.
func allowed(t *testing.T, m machine.Machine, q trust.Request, p trust.Planned) {
	t.Helper()
	subject, other := q.Host.Canonical().String(), "other.corp:5000"
	if q.Network.IsValid() {
		subject, other = q.Network.Masked().String(), "none"
	}
	for _, s := range append(append(change.Plan(nil), p.User...), p.Machine...) {
		switch s.Op {
		case change.OpRun:
			if !trust.MayRun(m, subject, s.Run.Argv) || !trust.MayRun(m, subject, s.Run.Undo) {
				t.Errorf("%q is planned and may not be run", s.Run.Argv)
			}
			if trust.MayRun(m, "", s.Run.Argv) || trust.MayRun(m, subject, append([]string{"/bin/sh"}, s.Run.Argv...)) || trust.MayRun(m, subject, append(s.Run.Argv[:len(s.Run.Argv):len(s.Run.Argv)], "x")) {
				t.Errorf("%q may be run in other forms", s.Run.Argv)
			}
		case change.OpReload:
			if !trust.MayReload(m, *s.Reload) {
				t.Errorf("%+v is planned and may not be reloaded", *s.Reload)
			}
		default:
			if !trust.MayWrite(m, subject, s.Path) {
				t.Errorf("%s is planned and may not be written", s.Path)
			}
			if s.Op != change.OpEdit && !strings.HasSuffix(s.Path, "config.toml") && trust.MayWrite(m, other, s.Path) {
				t.Errorf("%s may be written for another registry", s.Path)
			}
		}
	}
}
