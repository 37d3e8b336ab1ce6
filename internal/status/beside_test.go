package status_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/edit"
	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/status"
	"github.com/vicr-cli/vicr/internal/testkit"
)

func TestStrayFilesBesideTheCA(t *testing.T) {
	t.Parallel()
	dir := "/etc/docker/certs.d/" + host
	for _, tt := range []struct {
		path   string
		kind   status.Kind
		remedy string
	}{
		{dir + "/client.key", status.KindStray, "sudo mv " + dir + "/client.key " + dir + "/client.key.away"},
		{dir + "/client.cert", status.KindStray, "sudo mv "},
		{dir + "/other.crt", status.KindStray, "sudo mv "},
		{dir + "/hosts.toml", status.KindNote, "sudo ls -la "},
	} {
		w := newWorld(t)
		w.trusts(host, change.Record{Tool: "docker", Path: dockerCA})
		w.write(tt.path, "no certificate", 0o644)
		r := w.look()
		f := only(t, r)
		if f.Kind != tt.kind || f.Path != tt.path || !strings.HasPrefix(f.Remedy, tt.remedy) || r.OK != (tt.kind == status.KindNote) {
			t.Errorf("%s: OK %t, %+v", tt.path, r.OK, f)
		}
	}
	// In the folder of a tool that vicr did nothing for it is nobody's business.
	w := newWorld(t)
	w.trusts(host, change.Record{Tool: "vicr", Path: ownFile})
	w.write(dir+"/client.key", "x", 0o600)
	if r := w.look(); !r.OK || len(r.Registries[0].Findings) > 0 {
		t.Errorf("%+v", r)
	}
	// A folder that containerd reads first may have the CA too.
	w = newWorld(t)
	w.trusts(host, change.Record{Tool: "docker", Path: dockerCA})
	w.write("/etc/docker/certs.d/registry.example_5000_/ca.crt", string(w.ca.PEM()), 0o644)
	if r := w.look(); !r.OK || len(r.Registries[0].Findings) > 0 {
		t.Errorf("%+v", r)
	}
}

// A folder that vicr wrote to itself is spoken of by its files.
func TestVicrsOwnFolderShadowsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	own := w.machine.Podman.UserCerts + "/" + host + "/ca.crt"
	w.trusts(host, change.Record{Tool: "podman", Path: own}, change.Record{Tool: "podman", Path: podmanCA})
	w.write(own, string(testkit.NewCA(t).PEM()), 0o644)
	if f := only(t, w.look()); f.Kind != status.KindChanged || f.Path != own {
		t.Errorf("found %+v", f)
	}
	w.remove(own)
	w.folder(w.machine.Podman.UserCerts + "/" + host)
	if f := only(t, w.look()); f.Kind != status.KindGone || f.Path != own {
		t.Errorf("found %+v", f)
	}
}

// Without the machine's journal the files say whose CA is there.
func TestToolsAreSeenByTheirFiles(t *testing.T) {
	t.Parallel()
	for path, tool := range map[string]string{
		dockerCA: "docker", podmanCA: "podman",
		"/etc/rancher/k3s/vicr-registry.example_5000_.crt":  "k3s",
		"/etc/rancher/rke2/vicr-registry.example_5000_.crt": "k3s",
	} {
		for _, same := range []bool{true, false} {
			w := newWorld(t)
			w.options.Unread = true
			w.machine.Kubernetes = []machine.Kubernetes{{Name: "k3s", Dir: "/etc/rancher/k3s"}, {Name: "rke2", Dir: "/etc/rancher/rke2"}}
			w.trusts(host, change.Record{Tool: "vicr", Path: ownFile})
			if w.write(path, string(testkit.NewCA(t).PEM()), 0o644); same {
				w.write(path, string(w.ca.PEM()), 0o644)
			}
			var found []string
			g := w.look().Registries[0]
			for _, tl := range g.Tools {
				for _, f := range tl.Files {
					found = append(found, tl.Tool+" "+f.Path+" "+string(f.State))
				}
			}
			state := status.FileChanged
			if same {
				state = status.FileOK
			}
			if want := tool + " " + path + " " + string(state); !slices.Contains(found, want) {
				t.Errorf("%q is not among %q", want, found)
			}
			if !same && (len(g.Findings) != 1 || g.Findings[0].Kind != status.KindChanged || g.Findings[0].Path != path) {
				t.Errorf("%s: found %+v", path, g.Findings)
			}
		}
	}
}

func TestInsecureBesideTheCA(t *testing.T) {
	t.Parallel()
	const config = "/etc/docker/daemon.json"
	for _, tt := range []struct {
		host, list string
		found      bool
	}{
		{host, `["other.example", "registry.example:5000"]`, true},
		{host, `["http://registry.example:5000"]`, true},
		{host, `["registry.example", "registry.example:5001", "10.0.0.0/8"]`, false},
		{"registry.example", `["registry.example:443"]`, true},
		{"10.1.2.3:5000", `["192.168.0.0/16", "10.0.0.0/8"]`, true},
		{"10.1.2.3:5000", `["11.0.0.0/8"]`, false},
		{"10.1.2.3:5000", `"10.0.0.0/8"`, false},
		{"10.1.2.3:5000", `[`, false},
	} {
		w := newWorld(t)
		w.trusts(tt.host, change.Record{Tool: "docker", Path: "/etc/docker/certs.d/" + tt.host + "/ca.crt"})
		w.write(config, `{"insecure-registries": `+tt.list+`}`, 0o644)
		found := false
		for _, f := range w.look().Registries[0].Findings {
			found = found || f.Kind == status.KindInsecure && f.Path == config && f.Remedy != ""
		}
		if found != tt.found {
			t.Errorf("%s in %s: found %t", tt.host, tt.list, found)
		}
	}
	// The list of an engine that is not set up for the registry is its own affair.
	w := newWorld(t)
	w.trusts(host, change.Record{Tool: "docker", Path: dockerCA})
	w.machine.Docker.Variants = []machine.Variant{{Kind: machine.Snap, CertsDir: "/snap/certs.d", ConfigFile: "/snap/daemon.json"}}
	w.write("/snap/daemon.json", `{"insecure-registries": ["`+host+`"]}`, 0o644)
	if r := w.look(); !r.OK {
		t.Errorf("%+v", r)
	}
}

// Others may change the rest of a file that was edited.
func TestEditsThatStillHold(t *testing.T) {
	t.Parallel()
	const config = "/etc/docker/daemon.json"
	ours := edit.Edit{Format: edit.JSON, Key: "insecure-registries", Value: host}
	w := newWorld(t)
	e := w.trusts(host, change.Record{Tool: "docker", Path: config, Edits: []edit.Edit{ours}, After: after("{}", 0o644)})
	e.Subject.Fingerprint = ""
	for _, tt := range []struct {
		data  string
		state status.FileState
		text  string
	}{
		{`{"insecure-registries": ["` + host + `"]}`, status.FileOK, ""},
		{`{"debug": true, "insecure-registries": ["x", "` + host + `"]}`, status.FileOK, ""},
		{`{"insecure-registries": ["x"]}`, status.FileChanged, "taken out"},
		{`{"insecure-registries": [`, status.FileChanged, "can no longer be read"},
	} {
		w.write(config, tt.data, 0o644)
		r := w.look()
		g := r.Registries[0]
		if g.Tools[0].Files[0].State != tt.state || r.OK != (tt.state == status.FileOK) || !r.OK && !strings.Contains(g.Findings[0].Text, tt.text) {
			t.Errorf("%s: %+v", tt.data, r)
		}
	}
	w.remove(config)
	if f := only(t, w.look()); f.Kind != status.KindGone || f.Remedy != "vicr trust "+host+" --insecure --for docker" {
		t.Errorf("gone: %+v", f)
	}
	// What was taken out is out of a file that is not there.
	w.entries[0].Records[0].Edits[0].Remove = true
	if r := w.look(); !r.OK {
		t.Errorf("%+v", r)
	}
}
