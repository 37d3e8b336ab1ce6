package proof_test

import (
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/atomicfile"
	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/edit"
	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/proof"
	"github.com/vicr-cli/vicr/internal/testkit"
)

func write(t *testing.T, path string, data []byte, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, data, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// A broken is one way in which the files of a plan can be wrong.
type broken struct {
	what string
	do   func(dir string)
	says string // "" if that is fine
}

func checkFiles(t *testing.T, anchor *x509.Certificate, plan func(dir string) change.Plan, all []broken) {
	t.Helper()
	for _, b := range all {
		t.Run(b.what, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			p := plan(dir)
			for _, s := range p {
				if s.Op == change.OpWrite {
					write(t, s.Path, s.Data, s.Mode)
				}
			}
			if b.do != nil {
				b.do(dir)
			}
			err := proof.Files(atomicfile.Machine(), p, anchor)
			if b.says == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if e, ok := errors.AsType[*proof.Error](err); !ok || !strings.Contains(e.Message, b.says) {
				t.Errorf("%v, want %q", err, b.says)
			}
		})
	}
}

func TestFilesOfAClientCertificateAreAPair(t *testing.T) {
	t.Parallel()
	ca, other := testkit.NewCA(t), testkit.NewCA(t)
	client := ca.NewLeaf(t)
	plan := func(dir string) change.Plan {
		return change.Plan{
			{Tool: "docker", Op: change.OpWrite, Path: filepath.Join(dir, "ca.crt"), Data: ca.PEM(), Mode: 0o644},
			{Tool: "docker", Op: change.OpWrite, Path: filepath.Join(dir, "client.cert"), Data: client.PEM(), Mode: 0o644},
			{Tool: "docker", Op: change.OpWrite, Path: filepath.Join(dir, "client.key"), Data: client.KeyPEM(t), Mode: 0o600, Secret: true},
		}
	}
	all := []broken{
		{what: "as planned"},
		{"another key", func(dir string) {
			write(t, filepath.Join(dir, "client.key"), other.NewLeaf(t).KeyPEM(t), 0o600)
		}, "do not belong together"},
		{"another certificate", func(dir string) {
			write(t, filepath.Join(dir, "client.cert"), other.NewLeaf(t).PEM(), 0o644)
		}, "do not belong together"},
		{"no certificate", func(dir string) { write(t, filepath.Join(dir, "client.cert"), nil, 0o644) }, "do not belong together"},
		{"another CA", func(dir string) { write(t, filepath.Join(dir, "ca.crt"), other.PEM(), 0o644) }, "does not hold the CA"},
	}
	if runtime.GOOS != "windows" {
		all = append(all, broken{"a key for all to read", func(dir string) { os.Chmod(filepath.Join(dir, "client.key"), 0o644) }, "mode 0644, not 0600"})
	}
	checkFiles(t, ca.Certificate, plan, all)

	dir := t.TempDir()
	p := plan(dir)[2:]
	write(t, p[0].Path, p[0].Data, p[0].Mode)
	if err := proof.Files(atomicfile.Machine(), p, ca.Certificate); err == nil {
		t.Error("a key without its certificate is a proof")
	}
	write(t, filepath.Join(dir, "client.cert"), client.PEM(), 0o644)
	if err := proof.Files(atomicfile.Machine(), p, ca.Certificate); err != nil {
		t.Errorf("its certificate was there before: %v", err)
	}
}

func TestFilesOfEveryKindAreReadBack(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	const hosts = "[host.\"https://registry.example:5000\"]\n  ca = \"ca.crt\"\n"
	const dropIn = "[[registry]]\nlocation = \"registry.example:5000\"\ninsecure = true\n"
	entry := &edit.Edit{Format: edit.JSON, Key: "insecure-registries", Value: "registry.example:5000"}
	gone := &edit.Edit{Format: edit.JSON, Key: "insecure-registries", Value: "old.example:5000", Remove: true}
	plan := func(dir string) change.Plan {
		return change.Plan{
			{Tool: "containerd", Op: change.OpWrite, Path: filepath.Join(dir, "hosts.toml"), Data: []byte(hosts), Mode: 0o644},
			{Tool: "podman", Op: change.OpWrite, Path: filepath.Join(dir, "50-vicr.conf"), Data: []byte(dropIn), Mode: 0o644},
			{Tool: "notary", Op: change.OpWrite, Path: filepath.Join(dir, "note"), Data: []byte("as it is"), Mode: 0o644},
			{Tool: "docker", Op: change.OpRemove, Path: filepath.Join(dir, "old")},
			{Tool: "docker", Op: change.OpEdit, Path: filepath.Join(dir, "daemon.json"), Edit: entry},
			{Tool: "docker", Op: change.OpEdit, Path: filepath.Join(dir, "none.json"), Edit: gone},
			{Tool: "docker", Op: change.OpReload, Reload: &change.Reload{}},
			{Tool: "docker", Op: change.OpRun, Run: &change.Command{}},
		}
	}
	config := func(s string) func(string) {
		return func(dir string) { write(t, filepath.Join(dir, "daemon.json"), []byte(s), 0o644) }
	}
	good := config(`{"insecure-registries": ["registry.example:5000"]}`)
	also := func(name, data string) func(string) {
		return func(dir string) { good(dir); write(t, filepath.Join(dir, name), []byte(data), 0o644) }
	}
	for _, anchor := range []*x509.Certificate{ca.Certificate, nil} {
		checkFiles(t, anchor, plan, []broken{
			{"as planned", good, ""},
			{"no daemon.json", nil, "does not have registry.example:5000"},
			{"without the entry", config(`{}`), "does not have registry.example:5000"},
			{"what was to go is here", also("none.json", `{"insecure-registries": ["old.example:5000"]}`), "still has old.example:5000"},
			{"a file that was to go", also("old", ""), "still there"},
			{"hosts.toml broken", also("hosts.toml", "[host"), "no TOML"},
			{"hosts.toml of somebody else", also("hosts.toml", "server = \"x\"\n"), "not hold what was written"},
			{"drop-in broken", also("50-vicr.conf", "[[registry]\n"), "no TOML"},
			{"bytes of another file", also("note", "other"), "not hold what was written"},
		})
	}
}

// B27 of the faults: the program says that it is done.
func TestTheSystemsBundleMustHoldTheAnchor(t *testing.T) {
	t.Parallel()
	ca, other := testkit.NewCA(t), testkit.NewCA(t)
	bundle := filepath.Join(t.TempDir(), "ca-certificates.crt")
	m := machine.Machine{System: machine.System{Bundle: bundle}}
	for what, tt := range map[string]struct {
		data string
		ok   bool
	}{
		"with it":        {"# all\n" + string(testkit.Bundle(other, ca)), true},
		"beside garbage": {"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n-----BEGIN CERTIFICATE-----\n?\n" + string(ca.PEM()), true},
		"without it":     {string(other.PEM()), false},
		"empty":          {"", false},
	} {
		write(t, bundle, []byte(tt.data), 0o644)
		err := proof.System(t.Context(), m, ca.Certificate)
		if _, no := errors.AsType[*proof.Error](err); no == tt.ok || tt.ok && err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := os.Remove(bundle); err != nil {
		t.Fatal(err)
	}
	if err := proof.System(t.Context(), m, ca.Certificate); err == nil {
		t.Error("a bundle that is not there is a proof")
	}
	if err := proof.System(t.Context(), machine.Machine{}, ca.Certificate); err != nil {
		t.Errorf("a system without such a file: %v", err)
	}
}
