package trust_test

import (
	"bytes"
	"crypto/x509"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/trust"
)

var update = flag.Bool("update", false, "write the golden files anew")

// files makes a file system: a path that ends in "/" is a folder, in "=" a
// socket, any other a file with the text given.
func files(content map[string]string) fstest.MapFS {
	m := fstest.MapFS{}
	for p, text := range content {
		f := &fstest.MapFile{Mode: 0o644, Data: []byte(text)}
		switch {
		case strings.HasSuffix(p, "/"):
			f.Mode = fs.ModeDir | 0o755
		case strings.HasSuffix(p, "="):
			f.Mode = fs.ModeSocket | 0o660
		}
		m[machine.Name(strings.TrimRight(p, "/="))] = f
	}
	return m
}

func engine() fstest.MapFS {
	return files(map[string]string{"/run/docker.sock=": "", "/etc/docker/": "", "/usr/bin/dockerd": ""})
}

// look sees a machine of ann's.
func look(o machine.Options) machine.Machine {
	if o.GOOS == "" {
		o.GOOS = "linux"
	}
	if o.FS == nil {
		o.FS = engine()
	}
	o.Home = map[string]string{"linux": "/home/ann", "darwin": "/Users/ann", "windows": `C:\Users\ann`}[o.GOOS]
	o.Euid = 1000
	return machine.Look(o)
}

func host(t *testing.T, s string) ref.Host {
	t.Helper()
	h, err := ref.ParseHost(s)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func certificate(t *testing.T, name string) *x509.Certificate {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	certs, err := pki.ParseBundle(data)
	if err != nil {
		t.Fatal(err)
	}
	return certs[0]
}

func plan(t *testing.T, m machine.Machine, r trust.Request) trust.Planned {
	t.Helper()
	p, err := trust.Plan(m, r)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// render shows all of a plan as text.
func render(p trust.Planned, anchor *x509.Certificate) string {
	var b strings.Builder
	fmt.Fprintf(&b, "trusting once applied: %v\n", p.Tools)
	for _, half := range []struct {
		name string
		plan change.Plan
	}{{"user", p.User}, {"machine", p.Machine}} {
		fmt.Fprintf(&b, "\n%s\n", half.name)
		for _, s := range half.plan {
			what := "other bytes"
			if bytes.Equal(s.Data, pki.EncodePEM(anchor)) {
				what = "the anchor in PEM"
			}
			fmt.Fprintf(&b, "  %s: %v %s, mode %04o, new folders %04o: %s\n", s.Tool, s.Op, s.Path, s.Mode, s.DirMode, what)
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
	return b.String()
}

func TestPlansAreGolden(t *testing.T) {
	t.Parallel()
	docker := []trust.Tool{trust.ToolDocker}
	none := files(map[string]string{"/etc/hosts": "", "C:/Windows/": ""})
	for name, tt := range map[string]struct {
		o     machine.Options
		host  string
		tools []trust.Tool
		leaf  bool
	}{
		"linux-docker-443":           {host: "registry.corp"},
		"linux-docker-443-typed":     {host: "registry.corp:443"},
		"linux-docker-other-port":    {host: "registry.corp:5000"},
		"linux-docker-ipv4":          {host: "192.0.2.2:5443"},
		"linux-docker-ipv6":          {host: "[2001:db8::2]"},
		"linux-docker-ipv6-port":     {host: "[2001:db8::2]:5000"},
		"linux-docker-hub":           {host: "docker.io"},
		"linux-leaf":                 {host: "registry.corp", leaf: true},
		"linux-for-vicr":             {host: "registry.corp", tools: []trust.Tool{trust.ToolVicr}},
		"linux-for-docker":           {host: "registry.corp", tools: docker},
		"linux-for-docker-not-found": {o: machine.Options{FS: none}, host: "registry.corp", tools: docker},
		"linux-no-docker":            {o: machine.Options{FS: none}, host: "registry.corp:5000"},
		"linux-root":                 {o: machine.Options{Root: "/srv/my image"}, host: "registry.corp"},
		"linux-root-no-docker":       {o: machine.Options{Root: "/srv/my image", FS: none}, host: "registry.corp"},
		"linux-root-for-both":        {o: machine.Options{Root: "/srv/my image", FS: none}, host: "registry.corp", tools: trust.Tools()},
		"linux-remote":               {o: machine.Options{DockerHost: "ssh://ann:pw@build.corp"}, host: "registry.corp", tools: docker},
		"linux-remote-unreadable":    {o: machine.Options{DockerHost: "tcp://\x1b[2J"}, host: "registry.corp"},
		"linux-rootless":             {o: machine.Options{DockerHost: "unix:///run/user/1000/docker.sock", FS: none}, host: "registry.corp"},
		"linux-rootless-for-docker":  {o: machine.Options{DockerHost: "unix:///run/user/1000/docker.sock", FS: none}, host: "[2001:db8::2]:5000", tools: docker},
		"linux-rootless-and-docker":  {o: machine.Options{DockerHost: "unix:///run/user/1000/docker.sock"}, host: "registry.corp:5000"},
		"linux-snap":                 {o: machine.Options{FS: files(map[string]string{"/snap/bin/docker": "", "/run/docker.sock=": ""})}, host: "registry.corp:5000"},
		"linux-desktop":              {o: machine.Options{FS: files(map[string]string{"/opt/docker-desktop/": ""})}, host: "registry.corp:5000"},
		"linux-podman":               {o: machine.Options{DockerHost: "unix:///run/user/1000/podman/\x1bpodman.sock", FS: none}, host: "registry.corp"},
		"darwin":                     {o: machine.Options{GOOS: "darwin", FS: files(map[string]string{"/Applications/Docker.app/": ""})}, host: "registry.corp:5000"},
		"darwin-no-docker":           {o: machine.Options{GOOS: "darwin", FS: none}, host: "registry.corp", tools: trust.Tools()},
		"darwin-root":                {o: machine.Options{GOOS: "darwin", Root: "/srv", FS: none}, host: "registry.corp", tools: docker},
		"windows":                    {o: machine.Options{GOOS: "windows", FS: files(map[string]string{"C:/Program Files/Docker/Docker/Docker Desktop.exe": ""})}, host: "registry.corp:5000"},
		"windows-leaf":               {o: machine.Options{GOOS: "windows", FS: files(map[string]string{"C:/Program Files/Docker/Docker/Docker Desktop.exe": ""})}, host: "registry.corp:5000", leaf: true},
		"windows-engine":             {o: machine.Options{GOOS: "windows", FS: files(map[string]string{"C:/Program Files/Docker/dockerd.exe": ""})}, host: "[2001:db8::2]:5000"},
		"windows-no-docker":          {o: machine.Options{GOOS: "windows", FS: none}, host: "registry.corp"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			anchor := pki.Anchor{Cert: certificate(t, "ca.crt"), From: pki.FromFile}
			if tt.leaf {
				anchor = pki.Anchor{Cert: certificate(t, "leaf.crt"), From: pki.FromChain, Leaf: true}
			}
			p := plan(t, look(tt.o), trust.Request{Host: host(t, tt.host), Anchor: anchor, Tools: tt.tools})
			compare(t, filepath.Join("testdata", "plan", name+".golden"), render(p, anchor.Cert))
		})
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
	source, err := os.ReadFile("plan_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		name := strings.TrimSuffix(filepath.Base(f), ".golden")
		if !strings.Contains(string(source), `"`+name+`":`) {
			t.Errorf("%s belongs to no case", f)
		}
	}
}

func TestPlanWithoutHostOrCertificateIsRefused(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]trust.Request{
		"no host":        {Anchor: pki.Anchor{Cert: certificate(t, "ca.crt")}},
		"no certificate": {Host: host(t, "registry.corp")},
		"unknown tool":   {Host: host(t, "registry.corp"), Anchor: pki.Anchor{Cert: certificate(t, "ca.crt")}, Tools: []trust.Tool{"../x"}},
	} {
		p, err := trust.Plan(look(machine.Options{}), r)
		if err == nil || len(p.User)+len(p.Machine) > 0 {
			t.Errorf("%s: planned %v and %v, %v", name, p.User, p.Machine, err)
		}
	}
}

func TestVicrIsSkippedWithoutAHome(t *testing.T) {
	t.Parallel()
	m := machine.Look(machine.Options{GOOS: "linux", FS: engine()})
	p := plan(t, m, trust.Request{Host: host(t, "registry.corp"), Anchor: pki.Anchor{Cert: certificate(t, "ca.crt")}})
	if len(p.User) > 0 || len(p.Machine) != 2 || len(p.Skipped) != 1 || p.Skipped[0].Tool != trust.ToolVicr {
		t.Errorf("planned %v and %v, skipped %v", p.User, p.Machine, p.Skipped)
	}
}

func paths(p change.Plan) (all []string) {
	for _, s := range p {
		all = append(all, path.Clean(strings.ReplaceAll(s.Path, `\`, "/")))
	}
	return all
}
