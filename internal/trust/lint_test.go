package trust_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/testkit"
	"github.com/vicr-cli/vicr/internal/trust"
)

func TestFilesThatBreakAHostAreNoted(t *testing.T) {
	t.Parallel()
	const dir = dockerDir + "registry.corp:5000"
	ca := string(certificatePEM(t))
	for name, tt := range map[string]struct {
		content map[string]string
		want    map[string]string // path: part of the note
	}{
		"nothing there":              {nil, nil},
		"a pair":                     {map[string]string{"/client.cert": ca, "/client.key": "k"}, nil},
		"other files":                {map[string]string{"/README": "x", "/hosts.toml": ""}, nil},
		"a name that nobody reads":   {map[string]string{"/ca.pem": ca, "/ca.cer": ca}, map[string]string{"/ca.pem": "ends in .crt", "/ca.cer": "ends in .crt"}},
		"a second CA":                {map[string]string{"/second.crt": ca}, nil},
		"a certificate without key":  {map[string]string{"/harbor.cert": ca}, map[string]string{"/harbor.cert": "without its .key"}},
		"a key without certificate":  {map[string]string{"/harbor.key": "k", "/harbor.crt": ca}, map[string]string{"/harbor.key": "without its .cert"}},
		"halves of different names":  {map[string]string{"/a.cert": ca, "/b.key": "k"}, map[string]string{"/a.cert": ".key", "/b.key": ".cert"}},
		"a dot before nothing":       {map[string]string{"/.key": "k"}, map[string]string{"/.key": ".cert"}},
		"garbage for a CA":           {map[string]string{"/x.crt": "garbage"}, map[string]string{"/x.crt": "no certificate in PEM"}},
		"a broken PEM":               {map[string]string{"/x.crt": ca[:200]}, map[string]string{"/x.crt": "no certificates that can be read"}},
		"a folder for a CA":          {map[string]string{"/x.crt/": ""}, map[string]string{"/x.crt": "cannot be read as a file"}},
		"a folder for our file":      {map[string]string{"/ca.crt/": ""}, map[string]string{"/ca.crt": "cannot be read as a file"}},
		"containerd's own file":      {map[string]string{"/hosts.toml": "server = 'x'"}, map[string]string{"/hosts.toml": "containerd"}},
		"containerd's own folder":    {map[string]string{"/../registry.corp_5000_/": ""}, map[string]string{"/../registry.corp_5000_": "instead"}},
		"a file for the host":        {map[string]string{"": "x"}, map[string]string{"": "not a folder"}},
		"a file like a shadow":       {map[string]string{"/../registry.corp_5000_": ""}, nil},
		"trouble of another host":    {map[string]string{"/../other.corp:5000/x.key": ""}, nil},
		"trouble of another port":    {map[string]string{"/../registry.corp/x.key": ""}, nil},
		"a name that steers screens": {map[string]string{"/\x1b[2J.key": ""}, map[string]string{"/\x1b[2J.key": ".cert"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			content := map[string]string{"/etc/docker/": ""}
			for path, text := range tt.content {
				content[strings.Replace(dir+path, "registry.corp:5000/../", "", 1)] = text
			}
			p := plan(t, look(machine.Options{FS: files(content)}), trust.Request{
				Host: host(t, "registry.corp:5000"), Anchor: pki.Anchor{Cert: certificate(t, "ca.crt")}, Tools: []trust.Tool{trust.ToolDocker},
			})
			if len(p.Notes) != len(tt.want) {
				t.Errorf("%d notes, want %d: %v", len(p.Notes), len(tt.want), p.Notes)
			}
			for path, part := range tt.want {
				path = strings.Replace(dir+path, "registry.corp:5000/../", "", 1)
				if !slices.ContainsFunc(p.Notes, func(n trust.Note) bool { return n.Path == path && strings.Contains(n.Text, part) }) {
					t.Errorf("no note on %q says %q: %v", path, part, p.Notes)
				}
			}
			for _, n := range p.Notes {
				if strings.Contains(n.String(), "\x1b") {
					t.Errorf("a note steers the terminal: %q", n)
				}
			}
		})
	}
}

func TestCAThatDiffersIsNamedAsReplaced(t *testing.T) {
	t.Parallel()
	ours, theirs := testkit.NewCA(t), testkit.NewCA(t)
	h := host(t, "registry.corp:5000")
	const docker, own = dockerDir + "registry.corp:5000/ca.crt", ownDir + "registry.corp_5000_/ca.crt"
	for name, tt := range map[string]struct {
		text     string
		steps    int // of the two
		replaces int
		was      int
		notes    int
	}{
		"the same bytes":           {string(ours.PEM()), 2, 0, 0, 0},
		"the same CA, other bytes": {"# comment\r\n" + string(ours.PEM()), 0, 0, 0, 2},
		"the CA among others":      {string(testkit.Bundle(theirs, ours)), 0, 0, 0, 2},
		"another CA":               {string(theirs.PEM()), 2, 2, 1, 0},
		"two others":               {string(testkit.Bundle(theirs, testkit.NewCA(t))), 2, 2, 2, 0},
		"garbage":                  {"garbage", 2, 2, 0, 0},
		"empty":                    {"", 2, 2, 0, 0},
		"a private key":            {string(ours.PEM()) + string(ours.KeyPEM(t)), 2, 2, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := look(machine.Options{FS: files(map[string]string{docker: tt.text, own: tt.text})})
			p := plan(t, m, trust.Request{Host: h, Anchor: pki.Anchor{Cert: ours.Certificate}, Tools: []trust.Tool{trust.ToolVicr, trust.ToolDocker}})
			if got := len(p.User) + len(p.Machine); got != tt.steps || len(p.Tools) != 2 {
				t.Errorf("%d steps for %v, want %d", got, p.Tools, tt.steps)
			}
			if len(p.Replaces) != tt.replaces || len(p.Notes) != tt.notes {
				t.Fatalf("replaces %v with notes %v", p.Replaces, p.Notes)
			}
			for _, r := range p.Replaces {
				if len(r.Was) != tt.was || (r.Why == nil) != (tt.was > 0) {
					t.Errorf("%s was %d certificates, %v", r.Path, len(r.Was), r.Why)
				}
			}
		})
	}
}

func TestLinksInDockersFolderAreNoted(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("a file name of Linux has a colon")
	}
	root := t.TempDir()
	dir := filepath.Join(root, dockerDir, "registry.corp:5000")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "corp.pem"), certificatePEM(t), 0o600); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"ca.crt": "/nowhere", "dangling.crt": "nowhere", "good.crt": "../../../../corp.pem"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	m := machine.Look(machine.Options{GOOS: "linux", Root: root})
	h := host(t, "registry.corp:5000")
	p := plan(t, m, trust.Request{Host: h, Anchor: pki.Anchor{Cert: certificate(t, "ca.crt")}})
	var noted []string
	for _, n := range p.Notes {
		noted = append(noted, filepath.Base(n.Path))
	}
	if !slices.Equal(noted, []string{"ca.crt", "dangling.crt"}) {
		t.Errorf("notes are %v", p.Notes)
	}
	if _, s := anchors(t, m, h); len(s.Files) != 1 || filepath.Base(s.Files[0]) != "good.crt" {
		t.Errorf("made of %q, ignored %q: a link is followed as Docker does", s.Files, s.Ignored)
	}
}

func TestParseTools(t *testing.T) {
	t.Parallel()
	for list, want := range map[string][]trust.Tool{
		"":                 nil,
		" ":                nil,
		"docker":           {trust.ToolDocker},
		"docker, vicr":     {trust.ToolDocker, trust.ToolVicr},
		"vicr,docker,vicr": {trust.ToolVicr, trust.ToolDocker},
	} {
		if got, err := trust.ParseTools(list); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q is %v, %v", list, got, err)
		}
	}
	for list, name := range map[string]string{"docker,": "", ",": "", "Docker": "Docker", "vicr,\x1bpod": "\x1bpod", "all": "all"} {
		_, err := trust.ParseTools(list)
		var unknown *trust.UnknownToolError
		if !errors.As(err, &unknown) || unknown.Name != name || len(unknown.Known) != 8 {
			t.Errorf("%q gives %v", list, err)
		} else if strings.Contains(err.Error(), "\x1b") || !strings.Contains(err.Error(), "vicr, docker") {
			t.Errorf("%q is told as %q", list, err)
		}
	}
}
