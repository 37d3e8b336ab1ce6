//go:build e2e && linux

package cmd_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/testkit"
)

// Every tool, every kind of registry, every kind of address: the tool itself
// is asked, refuses, is made to trust, agrees, and refuses again.

const image = "library/app:1"

// A bench is a rig with an image in the storage of its registries, and what
// those show.
type bench struct {
	*testkit.Rig
	vicr string
	ca   *testkit.Cert
	leaf *testkit.Cert // below ca
	self *testkit.Cert // its own issuer, no CA
}

// buildVicr is the program under test, for any number of benches.
func buildVicr(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "vicr")
	if out, err := exec.Command("go", "build", "-o", program, "..").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return program
}

func newBench(t *testing.T, vicr string) *bench {
	t.Helper()
	b := &bench{Rig: testkit.NewRig(t), ca: testkit.NewCA(t)}
	// They keep other stores, Java's for one, with the date of the day in them.
	if err := os.RemoveAll(b.Etc("/etc/ca-certificates/update.d")); err != nil {
		t.Fatal(err)
	}
	b.vicr = filepath.Join(b.Dir, "vicr") // where everybody may run it
	if err := os.Link(vicr, b.vicr); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, n := range "2345" {
		names = append(names, "192.0.2."+string(n), "2001:db8::"+string(n))
	}
	b.leaf = b.ca.NewLeaf(t, testkit.SANs(append(names, "registry.test")...))
	b.self = testkit.NewSelfSigned(t, testkit.SANs(names...))
	b.Seed(t, word, image)
	return b
}

// file writes a file that everybody may read.
func (b *bench) file(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(b.Dir, name)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// want runs a program that has to end with a code.
func (b *bench) want(t *testing.T, code int, argv ...string) testkit.Run {
	t.Helper()
	run := b.Run(t, "", argv...)
	if run.Code != code {
		t.Fatalf("%s: exit %d, want %d\n%s%s", strings.Join(argv, " "), run.Code, code, run.Stdout, run.Stderr)
	}
	return run
}

// pinned are the flags that consent to a certificate.
func (b *bench) pinned(t *testing.T, c *testkit.Cert) []string {
	t.Helper()
	fp := pki.SHA256(c.Certificate).String()
	return []string{"--ca-file", b.file(t, fp[len(fp)-8:]+".crt", c.PEM()), "--fingerprint", fp}
}

// machineState sums up what trust may change for all, and untrust has to bring back.
func (b *bench) machineState(t *testing.T) string {
	t.Helper()
	parts := []string{b.TreeHash(t, "/etc"), b.TreeHash(t, "/usr/local/share/ca-certificates"), b.TreeHash(t, "/var/lib/vicr")}
	for _, own := range []string{".config", ".local", ".docker"} {
		parts = append(parts, b.TreeHash(t, filepath.Join(b.Dir, "home", own)))
	}
	return strings.Join(parts, " ")
}

// A kind is how a registry is served, and how it comes to be trusted.
type kind struct {
	name  string
	digit byte // of its addresses
	http  bool
	cert  func(*bench) *testkit.Cert // nil: plain HTTP
	flags func(*testing.T, *bench) []string
}

func insecure(*testing.T, *bench) []string { return []string{"--insecure", "-y"} }

func kinds() []kind {
	return []kind{
		{name: "private_CA", digit: '2', cert: (*bench).leafOf, flags: func(t *testing.T, b *bench) []string { t.Helper(); return b.pinned(t, b.ca) }},
		{name: "self-signed_leaf", digit: '3', cert: (*bench).selfOf, flags: func(t *testing.T, b *bench) []string { t.Helper(); return b.pinned(t, b.self) }},
		{name: "plain_HTTP", digit: '4', http: true, flags: insecure},
		{name: "HTTPS_unverified", digit: '5', cert: (*bench).leafOf, flags: insecure},
	}
}

func (b *bench) leafOf() *testkit.Cert { return b.leaf }
func (b *bench) selfOf() *testkit.Cert { return b.self }

var places = []string{"port_443", "other_port", "IPv6_literal"}

// at is the address of a kind's registry at a place, and the names under which
// the tools know it. Plain HTTP has port 80 for 443, and that is always typed.
func (k kind) at(place string) (addr string, names []string) {
	v4 := "192.0.2." + string(k.digit)
	switch {
	case place == "other_port":
		return v4 + ":5443", []string{v4 + ":5443"}
	case place == "IPv6_literal":
		addr = "[2001:db8::" + string(k.digit) + "]:5443"
		return addr, []string{addr}
	case k.http:
		return v4 + ":80", []string{v4 + ":80"}
	}
	return v4 + ":443", []string{v4, v4 + ":443"}
}

func (k kind) label(place string) string {
	if k.http && place == "port_443" {
		return "port_80"
	}
	return place
}

// An asker is a tool that is asked for something of a registry.
type asker struct {
	name string
	tool string // for --for
	// start makes it ready, and returns the command that asks.
	start func(*testing.T, *bench) func(host string) []string
	noV6  bool // takes no IPv6 literal in the name of an image
}

func askers() []asker {
	pull := func(argv ...string) func(string) []string {
		return func(host string) []string { return append(slices.Clone(argv), host+"/"+image) }
	}
	program := func(name, pkg string, args ...string) func(*testing.T, *bench) func(string) []string {
		return func(t *testing.T, b *bench) func(string) []string {
			t.Helper()
			argv := append([]string{testkit.Need(t, name, pkg)}, args...)
			ask := func(host string) []string { return append(slices.Clone(argv), "docker://"+host+"/"+image) }
			b.Run(t, "", ask("192.0.2.2:1")...) // it makes files of its own in /etc when it is first run
			return ask
		}
	}
	get := func(argv ...string) func(string) []string {
		return func(host string) []string { return append(slices.Clone(argv), "https://"+host+"/v2/") }
	}
	const hosts = "/etc/containerd/certs.d"
	return []asker{
		{name: "dockerd_20.10", tool: "docker", noV6: true, start: func(t *testing.T, b *bench) func(string) []string {
			t.Helper()
			b.StartDockerd(t, testkit.Dockerd{})
			return pull("docker", "pull")
		}},
		{name: "dockerd_newest", tool: "docker", start: func(t *testing.T, b *bench) func(string) []string {
			t.Helper()
			b.StartDockerd(t, testkit.NewestDockerd(t))
			return pull("docker", "pull")
		}},
		{name: "podman", tool: "podman", noV6: true, start: program("podman", "podman", "pull")},
		{name: "skopeo", tool: "podman", noV6: true, start: program("skopeo", "skopeo", "inspect")},
		{name: "buildah", tool: "podman", noV6: true, start: program("buildah", "buildah", "pull", "--policy=always")},
		{name: "ctr_1.6", tool: "containerd", start: func(t *testing.T, b *bench) func(string) []string {
			t.Helper()
			return pull(b.OldContainerd(t).Ctr("images", "pull", "--hosts-dir", hosts)...)
		}},
		{name: "ctr_2", tool: "containerd", start: func(t *testing.T, b *bench) func(string) []string {
			t.Helper()
			return pull(b.NewContainerd(t).Ctr("images", "pull", "--hosts-dir", hosts)...)
		}},
		{name: "CRI_1.6", tool: "containerd", noV6: true, start: func(t *testing.T, b *bench) func(string) []string {
			t.Helper()
			b.put(t, "/etc/containerd/config.toml", criConfig(2, "io.containerd.grpc.v1.cri"))
			return pull(b.OldContainerd(t).CRI(t)...)
		}},
		{name: "CRI_2", tool: "containerd", start: func(t *testing.T, b *bench) func(string) []string {
			t.Helper()
			b.put(t, "/etc/containerd/config.toml", criConfig(3, "io.containerd.cri.v1.images"))
			return pull(b.NewContainerd(t).CRI(t)...)
		}},
		{name: "curl", tool: "system", start: func(t *testing.T, _ *bench) func(string) []string {
			t.Helper()
			return get(testkit.Need(t, "curl", "curl"), "-sSf")
		}},
		{name: "Go_program", tool: "system", start: func(t *testing.T, b *bench) func(string) []string {
			t.Helper()
			return get(b.GoFetcher(t))
		}},
	}
}

// criConfig is a config.toml that has CRI look into certs.d.
func criConfig(version int, plugin string) string {
	return fmt.Sprintf("version = %d\n\n[plugins.%q.registry]\n  config_path = %q\n", version, plugin, "/etc/containerd/certs.d")
}

// void says why a cell cannot be, "" if it can.
func void(a asker, k kind, place string) string {
	switch {
	case a.noV6 && place == "IPv6_literal":
		return "it takes no IPv6 literal in the name of an image"
	case a.tool == "system" && k.name == "self-signed_leaf":
		return "a leaf is never for the system's store"
	case a.tool == "system" && k.cert == nil, a.tool == "system" && k.name == "HTTPS_unverified":
		return "the system's store has no way not to verify"
	}
	return ""
}

// cellsOf are the places of one row; without FULL=1 one of each kind, another
// one for the next tool.
func cellsOf(row, column int, a asker, k kind) (cells []string) {
	for i := range places {
		if p := places[(row+column+i)%len(places)]; void(a, k, p) == "" {
			cells = append(cells, p)
		}
	}
	if !testkit.Full() && len(cells) > 1 {
		cells = cells[:1]
	}
	return cells
}

func TestRealMatrix(t *testing.T) {
	t.Parallel()
	vicr := buildVicr(t)
	for row, a := range askers() {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, vicr)
			ask := a.start(t, b)
			for column, k := range kinds() {
				for _, place := range cellsOf(row, column, a, k) {
					t.Run(k.name+"/"+k.label(place), func(t *testing.T) { b.cell(t, a, k, place, ask) })
				}
			}
		})
	}
}

// What is void is so, not merely left out.
func TestRealMatrixVoid(t *testing.T) {
	t.Parallel()
	b := newBench(t, buildVicr(t))
	table := 0
	for _, a := range askers() {
		for _, k := range kinds() {
			for _, p := range places {
				if why := void(a, k, p); why != "" {
					t.Logf("%-15s %-17s %-13s %s", a.name, k.name, p, why)
					table++
				}
			}
		}
		if !a.noV6 {
			continue
		}
		argv := a.start(t, b)("[2001:db8::2]:5443")
		if run := b.Run(t, "", argv...); run.Code == 0 || !strings.Contains(run.Stderr, "invalid reference format") {
			t.Errorf("%s: exit %d, want a complaint about the reference", a.name, run.Code)
		}
	}
	if all := len(askers()) * len(kinds()) * len(places); table >= all/2 {
		t.Errorf("%d of %d cells are void", table, all)
	}

	b.StartRegistry(t, testkit.Registry{Addr: "192.0.2.3:443", Cert: b.self})
	before := b.machineState(t)
	for why, flags := range map[string][]string{"a leaf": b.pinned(t, b.self), "not verifying": {"--insecure", "-y"}} {
		run := b.Run(t, "", append([]string{b.vicr, "trust", "192.0.2.3", "--for", "system"}, flags...)...)
		if run.Code == 0 || run.Code == 1 {
			t.Errorf("%s in the system's store: exit %d, want a refusal", why, run.Code)
		}
	}
	if b.machineState(t) != before {
		t.Error("a refused trust changed the machine")
	}
}

// refuses wants the tool to name what is wrong with the registry.
func (b *bench) refuses(t *testing.T, when string, argv []string) {
	t.Helper()
	run := b.Run(t, "", argv...)
	said := run.Stdout + run.Stderr
	if run.Code == 0 || !strings.Contains(said, "certificate") && !strings.Contains(said, "HTTP response to HTTPS client") {
		t.Errorf("%s: exit %d, want a refusal for the certificate or for HTTP", when, run.Code)
	}
}

func (b *bench) cell(t *testing.T, a asker, k kind, place string, ask func(string) []string) {
	t.Helper()
	addr, names := k.at(place)
	registry := testkit.Registry{Addr: addr}
	if k.cert != nil {
		registry.Cert = k.cert(b)
	}
	defer b.StartRegistry(t, registry).Stop()
	before := b.machineState(t)
	t.Cleanup(func() {
		if t.Failed() { // the next cell is another one
			b.Command(context.WithoutCancel(t.Context()), b.vicr, "untrust", "--force", names[0]).Run()
		}
	})

	b.refuses(t, "before", ask(names[0]))
	trust := append([]string{b.vicr, "trust", names[0], "--for", a.tool}, k.flags(t, b)...)
	b.want(t, 0, trust...)
	for _, name := range names {
		if run := b.Run(t, "", ask(name)...); run.Code != 0 {
			t.Errorf("after trust, as %s: exit %d", name, run.Code)
		}
	}
	trusted := b.machineState(t)
	b.want(t, 0, trust...)
	if b.machineState(t) != trusted {
		t.Error("a second trust changed the machine")
	}
	b.want(t, 0, b.vicr, "untrust", names[0])
	b.refuses(t, "after untrust", ask(names[0]))
	if after := b.machineState(t); after != before {
		t.Errorf("after untrust the machine is not as it was: %s", differs(before, after))
	}
}

// differs names the parts of two machine states that are not the same.
func differs(before, after string) string {
	var parts []string
	was := strings.Fields(before)
	for i, sum := range strings.Fields(after) {
		if sum != was[i] {
			parts = append(parts, []string{"/etc", "the CAs", "/var/lib/vicr", "~/.config", "~/.local", "~/.docker"}[i])
		}
	}
	return fmt.Sprint(parts)
}
