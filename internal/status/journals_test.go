package status_test

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/status"
)

func TestTwoJournalsAreOneRegistry(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.trusts(host, change.Record{Tool: "vicr", Path: ownFile})
	w.trusts(host, change.Record{Tool: "docker", Path: dockerCA}).Subject.How = "fingerprint"
	w.trusts("alpha.example", change.Record{Tool: "vicr", Path: "/home/dev/.config/vicr/certs.d/alpha.example_443_/ca.crt"})
	w.options.User = func(h ref.Host) string {
		return map[string]string{"alpha.example": "eve"}[h.String()]
	}
	r := w.look()
	if !r.OK || len(r.Registries) != 2 || r.Registries[0].Host != "alpha.example" || r.Registries[0].User != "eve" {
		t.Fatalf("%+v", r)
	}
	if g := r.Registries[1]; g.How != "asked" || len(g.Tools) != 2 || g.DaysLeft != 365 || g.NotAfter != "2027-05-01T12:00:00Z" || g.User != "" {
		t.Errorf("%+v", g)
	}
	w.entries[1].Subject.Fingerprint = "sha256:" + strings.Repeat("ab", 32)
	r = w.look()
	if r.OK || r.Registries[1].Findings[0].Kind != status.KindDiffers {
		t.Errorf("two CAs: %+v", r)
	}
	// The tools of one half may be told not to verify what the other has a CA for.
	w.entries[1].Subject.Fingerprint, w.entries[1].Subject.How = "", "insecure"
	if r = w.look(); !r.OK || r.Registries[1].Fingerprint != w.fingerprint() {
		t.Errorf("a CA and none: %+v", r)
	}
	w.entries[0], w.entries[1] = w.entries[1], w.entries[0]
	if r = w.look(); !r.OK || r.Registries[1].Fingerprint != w.fingerprint() {
		t.Errorf("none and a CA: %+v", r)
	}
	// One named, and one that nobody knows.
	w.options.Hosts = []string{"alpha.example", "unknown.example"}
	r = w.look()
	if r.OK || len(r.Registries) != 2 || len(r.Registries[0].Findings) > 0 || r.Registries[1].Findings[0].Remedy != "vicr trust unknown.example" {
		t.Errorf("named: %+v", r)
	}
}

// The tools of one registry may have been set up at different times.
func TestEachToolHasItsOwnCA(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := change.Trust{Fingerprint: "sha256:" + strings.Repeat("cd", 32), How: "accept-new", NotAfter: now.Add(20 * 24 * time.Hour)}
	w.trusts(
		host, change.Record{Tool: "vicr", Path: ownFile},
		change.Record{Tool: "docker", Path: dockerCA, Trust: change.Trust{How: "insecure"}},
		change.Record{Tool: "podman", Path: podmanCA, Trust: other},
	)
	r := w.look()
	g := r.Registries[0]
	if g.Tools[0].Fingerprint != w.fingerprint() || g.Tools[0].How != "asked" || g.Tools[0].DaysLeft != 365 {
		t.Errorf("vicr: %+v", g.Tools[0])
	}
	if g.Tools[1].Fingerprint != "" || g.Tools[1].How != "insecure" || g.Tools[1].NotAfter != "" {
		t.Errorf("docker: %+v", g.Tools[1])
	}
	if g.Tools[2].Fingerprint != other.Fingerprint || g.Tools[2].How != "accept-new" || g.Tools[2].DaysLeft != 20 {
		t.Errorf("podman: %+v", g.Tools[2])
	}
	var kinds []status.Kind
	for _, f := range g.Findings {
		kinds = append(kinds, f.Kind)
	}
	if len(kinds) != 2 || kinds[0] != status.KindDiffers || kinds[1] != status.KindRenew || r.OK {
		t.Errorf("findings: %+v", g.Findings)
	}
	if f := g.Findings[0]; !strings.HasPrefix(f.Text, "podman has another CA") || f.Remedy != "vicr trust "+host+" --fingerprint "+w.fingerprint()+" --for podman" {
		t.Errorf("%+v", f)
	}
	// What was taken away is put back the way that the tool had it.
	w.remove(podmanCA)
	w.remove(dockerCA)
	want := map[string]string{
		podmanCA: "vicr trust " + host + " --fingerprint " + other.Fingerprint + " --for podman",
		dockerCA: "vicr trust " + host + " --insecure --for docker",
	}
	for _, f := range w.look().Registries[0].Findings {
		if remedy := want[f.Path]; f.Path != "" && f.Remedy != remedy {
			t.Errorf("%s: %q, want %q", f.Path, f.Remedy, remedy)
		}
	}
}

// An ordinary CA first, and then some tools are told to stop verifying: the
// others keep theirs, and all is as it was asked for.
func TestToolsThatGoOnVerifyingAreWell(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.trusts(host, change.Record{Tool: "vicr", Path: ownFile}, change.Record{Tool: "podman", Path: podmanCA})
	e.Records[0].Trust, e.Records[1].Trust = e.Subject.Trust, change.Trust{How: "insecure"}
	e.Subject.Trust = change.Trust{How: "insecure"}
	r := w.look()
	if g := r.Registries[0]; !r.OK || len(g.Findings) > 0 || g.Fingerprint != w.fingerprint() || g.Tools[1].How != "insecure" {
		t.Errorf("%+v", r)
	}
}

func TestALinkThatWasThereIsWrittenThrough(t *testing.T) {
	t.Parallel()
	for _, before := range []*change.Version{nil, after("old", 0o644)} {
		w := newWorld(t)
		w.trusts(host, change.Record{Tool: "docker", Path: dockerCA, Before: before})
		w.write("/etc/pki/corp.pem", string(w.ca.PEM()), 0o644)
		w.files[machine.Name(dockerCA)] = &fstest.MapFile{Mode: fs.ModeSymlink, Data: []byte("../../../pki/corp.pem")}
		if r := w.look(); r.OK != (before != nil) {
			t.Errorf("before %v: %+v", before, r.Registries[0].Findings)
		}
	}
}

func TestACAThatSomebodyElsePutThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.options.Hosts = []string{host}
	if r := w.look(); r.OK {
		t.Errorf("nothing: %+v", r)
	}
	w.write(dockerCA, string(w.ca.PEM()), 0o644)
	r := w.look()
	if f := only(t, r); !r.OK || f.Kind != status.KindNote || f.Path != dockerCA || !strings.Contains(f.Text, "did not put there") {
		t.Errorf("%+v", r)
	}
}
