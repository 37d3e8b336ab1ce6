package trust

import (
	"fmt"
	"slices"
	"strings"

	toml "github.com/pelletier/go-toml/v2"

	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/ref"
)

// podman plans for what reads through containers/image: Podman, Buildah,
// Skopeo, CRI-O. It does so at each pull.
func (p *planner) podman() {
	f := p.m.Podman
	found := f.Found
	for _, v := range p.m.Docker.Variants {
		found = found || v.Kind == machine.Podman
	}
	if !found && !p.named {
		p.absent(ToolPodman)
		return
	}
	l := p.podmanLevel()
	certs, conf := f.CertsDir, f.ConfDir
	if l.plan == &p.out.User {
		certs, conf = f.UserCerts, f.UserConf
	}
	// Windows has no folders with a colon in their names either.
	native := p.m.GOOS != "windows" && (f.Programs["skopeo"] != "" || f.Programs["buildah"] != "" || !f.Machine)
	switch {
	case certs == "" && p.m.Root != "":
		p.skip(ToolPodman, "a --root run changes trees of Linux alone", "")
	case certs == "":
		p.skip(ToolPodman, "no home folder is known for this user", "")
	case !native:
		p.skip(ToolPodman, "Podman runs in a machine of its own here, whose files are not on this one", "")
	case p.r.Insecure:
		p.insecurePodman(l, certs, conf)
	default:
		p.securePodman(l, certs, conf)
	}
}

// podmanLevel is the user's own, which hides the machine's from that user, but
// for root.
func (p *planner) podmanLevel() level {
	if p.m.Root != "" || p.m.Euid == 0 && p.m.Podman.CertsDir != "" || p.m.Podman.UserCerts == "" {
		return p.machine()
	}
	return p.user()
}

func (p *planner) securePodman(l level, certs, conf string) {
	for _, dir := range literal(p.m, certs, p.r.Host) {
		p.shadows(l, certs, dir)
		p.folderOf(ToolPodman, l, dir)
		p.lint(ToolPodman, dir)
	}
	if drop := p.dropIn(conf); p.marked(drop) {
		p.add(l, change.Step{Tool: string(ToolPodman), Path: drop, Op: change.OpRemove})
	}
	p.done(ToolPodman)
}

// certsOrder is where containers/image looks for a registry's folder. The first
// one that is there counts alone, be it empty (image/docker/docker_client.go,
// dockerCertDir).
func certsOrder(m machine.Machine) []string {
	all := []string{m.Podman.UserCerts, m.Podman.CertsDir}
	if m.GOOS == "linux" {
		all = append(all, "/etc/docker/certs.d")
	}
	return all
}

// shadows notes which folder hides dir, and what dir will hide.
func (p *planner) shadows(l level, certs, dir string) {
	name := strings.TrimPrefix(dir, certs)
	before := true
	for _, other := range certsOrder(p.m) {
		at := other + name
		switch {
		case other == certs:
			before = false
			if p.exists(dir) {
				return // it hides them already
			}
		case other == "" || !p.exists(at):
		case before && l.plan == &p.out.Machine && p.m.Root == "":
			p.note(ToolPodman, at, "it is there, so that Podman of its user reads it alone, even if it is empty: run vicr trust as that user too")
		case !before:
			if what := p.hidden(at); what != "" {
				p.note(ToolPodman, at, "it holds "+what+", which Podman reads no more once "+plain(dir)+" is there")
			}
			return
		}
	}
}

// hidden says what a folder has beside a CA that vicr put there.
func (p *planner) hidden(dir string) string {
	entries, err := p.m.ReadDir(dir)
	if err != nil {
		return ""
	}
	var what []string
	for _, e := range entries {
		switch name := e.Name(); {
		case strings.HasSuffix(name, ".cert"), strings.HasSuffix(name, ".key"):
			if p.r.Client == nil {
				what = appendNew(what, "a client certificate")
			}
		case strings.HasSuffix(name, ".crt") && !slices.Contains(p.seen, p.m.Join(dir, name)):
			f := readCA(p.m, p.m.Join(dir, name))
			if f.err != nil || len(f.certs) != 1 || p.r.Anchor.Cert == nil || !f.certs[0].Equal(p.r.Anchor.Cert) {
				what = appendNew(what, "another CA")
			}
		}
	}
	return strings.Join(what, " and ")
}

// dropIn is the file that makes one registry insecure.
func (p *planner) dropIn(conf string) string { return dropIn(p.m, conf, p.r.Host) }

func dropIn(m machine.Machine, conf string, h ref.Host) string {
	if conf == "" || h.IsZero() {
		return ""
	}
	return m.Join(conf, "50-vicr-"+h.Folder()+".conf")
}

func (p *planner) insecurePodman(l level, certs, conf string) {
	path, location := p.dropIn(conf), p.r.Host.String()
	data := fmt.Sprintf("%s[[registry]]\nlocation = %q\ninsecure = true\n", mark, location)
	var check struct {
		Registry []struct {
			Location string `toml:"location"`
			Insecure bool   `toml:"insecure"`
		} `toml:"registry"`
	}
	// One broken drop-in breaks every command for every registry.
	if err := toml.Unmarshal([]byte(data), &check); err != nil || len(check.Registry) != 1 || check.Registry[0].Location != location {
		p.skip(ToolPodman, "the name of this registry cannot be written into a registries.conf", "")
		return
	}
	if p.exists(path) && !p.marked(path) {
		p.skip(ToolPodman, fmt.Sprintf("%q is there and not as vicr writes it: look at it, and remove it", path), "")
		return
	}
	p.add(l, change.Step{Tool: string(ToolPodman), Path: path, Data: []byte(data), Mode: filesMode, DirMode: l.mode, Op: change.OpWrite})
	if !p.r.Host.HasPort() {
		p.note(ToolPodman, path, "a location without a port counts for every port of "+location+"; name the registry with :443 to have that one alone")
	} else if p.r.Host.Port() == p.r.Host.Canonical().Port() && p.r.Host.Canonical() != p.r.Host {
		p.note(ToolPodman, path, "it counts for images that are named with :443")
	}
	for _, dir := range literal(p.m, certs, p.r.Host) {
		p.forget(ToolPodman, l, p.m.Join(dir, caFile))
	}
	p.cached(path)
	if p.m.Podman.UserOnly && l.plan == &p.out.Machine {
		p.note(ToolPodman, p.m.Podman.UserConf, "a registries.conf beside it makes its user's Podman ignore all of /etc/containers: run vicr trust as that user too")
	}
	p.done(ToolPodman)
}

// cached: a process reads registries.conf once (image/pkg/sysregistriesv2).
func (p *planner) cached(path string) {
	if p.m.Root != "" {
		return
	}
	text := "a Podman service that runs reads it after: systemctl restart podman.service"
	if p.m.Podman.Programs["crio"] != "" {
		text += "; CRI-O after: systemctl reload crio"
	}
	p.note(ToolPodman, path, text)
}
