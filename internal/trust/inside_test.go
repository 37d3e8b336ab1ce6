package trust_test

import (
	"path"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/trust"
)

// hosts draws texts near to what ParseHost takes, and a little beyond.
func hosts() *rapid.Generator[string] {
	port := rapid.StringMatching(`(:[0-9]{1,5})?`)
	name := rapid.OneOf(
		rapid.StringMatching(`[a-zA-Z0-9-]{1,12}(\.[a-zA-Z0-9-]{1,12}){0,3}`),
		rapid.StringMatching(`[0-9]{1,3}(\.[0-9]{1,3}){3}`),
		rapid.StringMatching(`\[[0-9a-f]{0,4}(:[0-9a-f]{0,4}){2,7}\]`),
		rapid.StringMatching(`[a.:/\\\[\]%@ -]{1,8}`),
		rapid.SampledFrom([]string{"..", ".", "../../x", `..\x`, "a/../b", "h%2f..", "con", "[::1]", "a..b", "h\x00"}),
	)
	return rapid.Custom(func(t *rapid.T) string { return name.Draw(t, "name") + port.Draw(t, "port") })
}

func TestPlannedPathsStayInsideCertsD(t *testing.T) {
	t.Parallel()
	anchor := pki.Anchor{Cert: certificate(t, "ca.crt")}
	machines := []machine.Machine{
		look(machine.Options{}), look(machine.Options{Root: "/srv/image"}),
		look(machine.Options{GOOS: "darwin"}), look(machine.Options{GOOS: "windows"}),
	}
	taken := 0
	rapid.Check(t, func(t *rapid.T) {
		h, err := ref.ParseHost(hosts().Draw(t, "host"))
		if err != nil {
			return
		}
		taken++
		for _, m := range machines {
			p, err := trust.Plan(m, trust.Request{Host: h, Anchor: anchor, Tools: trust.Tools()})
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range append(paths(p.User), paths(p.Machine)...) {
				inside(t, f)
			}
		}
	})
	if taken == 0 {
		t.Error("no host was taken: nothing was shown")
	}
}

// inside wants a known file, FOLDER/NAME/FILE with a plain NAME, or a file with
// such a name.
func inside(t *rapid.T, file string) {
	t.Helper()
	const plain = "abcdefghijklmnopqrstuvwxyz0123456789.-_:[]"
	switch file {
	case ".", "/etc/containerd/config.toml", "/etc/buildkit/buildkitd.toml", "/etc/rancher/k3s/registries.yaml":
		return
	}
	if strings.HasSuffix(file, "/.docker/buildx/buildkitd.default.toml") || file == "C:/ProgramData/buildkitd/buildkitd.toml" {
		return
	}
	dir, name := path.Split(file)
	dir = path.Clean(dir)
	if name == "ca.crt" {
		dir, name = path.Split(dir)
		dir = path.Clean(dir)
		if path.Base(dir) != "certs.d" && path.Base(dir) != "tls" {
			t.Fatalf("%q is not a CA in a folder of certs.d", file)
		}
	} else if !strings.HasPrefix(name, "vicr-") && dir != "/etc/buildkit/certs" {
		t.Fatalf("%q has no name of vicr's", file)
	}
	if strings.Trim(name, plain) != "" || name[0] == '.' || name[0] == '-' && dir == "/etc/docker/certs.d" {
		t.Fatalf("%q has a hostile name", file)
	}
}

func TestAddressesThatDifferHaveFoldersThatDiffer(t *testing.T) {
	t.Parallel()
	anchor := pki.Anchor{Cert: certificate(t, "ca.crt")}
	m := look(machine.Options{})
	rapid.Check(t, func(t *rapid.T) {
		a, errA := ref.ParseHost(hosts().Draw(t, "a"))
		b, errB := ref.ParseHost(hosts().Draw(t, "b"))
		if errA != nil || errB != nil {
			return
		}
		tools := []trust.Tool{trust.ToolVicr, trust.ToolDocker}
		p, errA := trust.Plan(m, trust.Request{Host: a, Anchor: anchor, Tools: tools})
		q, errB := trust.Plan(m, trust.Request{Host: b, Anchor: anchor, Tools: tools})
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		same := a.Canonical() == b.Canonical()
		if (paths(p.User)[0] == paths(q.User)[0]) != same || (len(p.Machine) > 0 && len(q.Machine) > 0 && paths(p.Machine)[0] == paths(q.Machine)[0]) != same {
			t.Fatalf("%s and %s: %v %v and %v %v", a, b, paths(p.User), paths(p.Machine), paths(q.User), paths(q.Machine))
		}
	})
}

func TestAddressAndNameThatLooksLikeItHaveTheirOwnFolders(t *testing.T) {
	t.Parallel()
	anchor := pki.Anchor{Cert: certificate(t, "ca.crt")}
	m := look(machine.Options{})
	address := plan(t, m, trust.Request{Host: host(t, "[2001:db8::2]:5000"), Anchor: anchor})
	name := plan(t, m, trust.Request{Host: host(t, "2001-db8--2:5000"), Anchor: anchor})
	if paths(address.User)[0] == paths(name.User)[0] || paths(address.Machine)[0] == paths(name.Machine)[0] {
		t.Errorf("two registries share the file %v", paths(address.User))
	}
}
