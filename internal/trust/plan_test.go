package trust_test

import (
	"crypto/x509"
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
