package trust

import (
	"fmt"

	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/ref"
)

// docker plans for every way in which Docker runs here. It reads certs.d afresh
// on each pull, so that nothing has to be restarted but a virtual machine.
func (p *planner) docker() error {
	if isHub(p.r.Host) {
		// moby daemon/pkg/registry/service_v2.go
		why := "Docker reads no folder of CAs for Docker Hub: only the system's own store counts"
		if p.r.Insecure {
			why = "Docker Hub is always verified"
		}
		p.skip(ToolDocker, why, "")
		return nil
	}
	if why := p.m.Docker.Problem; why != "" {
		p.skip(ToolDocker, plain(why)+": nobody knows which engine is in use, and it may be on another machine; "+
			"mend that, or set DOCKER_CONTEXT=default for the one here", "docker context ls")
		return nil
	}
	if p.m.Docker.Remote {
		p.skip(ToolDocker, remoteWords(p.m.Docker)+", and only a change there would help: run this on that machine", p.trustCommand(ToolDocker))
		return nil
	}
	all := engines(p.m)
	if len(all) == 0 && p.named && p.plansDocker() {
		all = []engine{rootful(p.m)}
	}
	if told := p.otherEngines(); len(all) == 0 && !p.named && !told {
		p.absent(ToolDocker)
	}
	for _, e := range all {
		if why := p.mustBeNamed(e); why != "" && !p.named {
			p.later(ToolDocker, e.seen()+" "+why)
			continue
		}
		if err := p.engine(e); err != nil {
			return err
		}
	}
	return nil
}

func isHub(h ref.Host) bool {
	name := h.Canonical().String()
	return name == "docker.io" || name == "index.docker.io"
}

// plansDocker says whether an engine that was not seen has a place, or why not.
func (p *planner) plansDocker() bool {
	switch {
	case p.m.Docker.CertsDir == "" && p.m.Root != "":
		p.skip(ToolDocker, "a --root run changes trees of Linux alone", "")
	case p.m.Docker.CertsDir == "":
		p.skip(ToolDocker, "no home folder is known for this user", "")
	case p.m.GOOS == "darwin" && len(p.m.Docker.Variants) > 0:
		p.skip(ToolDocker, "there is no Docker Desktop here, and where else Docker runs its files lie in a machine of their own", "")
	default:
		return true
	}
	return false
}

func remoteWords(d machine.Docker) string {
	if d.Endpoint == "" {
		return "the Docker engine in use is on another machine, at an address that cannot be read"
	}
	return fmt.Sprintf("the Docker engine in use is on %q (%q)", d.RemoteName(), d.Endpoint)
}

// otherEngines speaks of those that answer like Docker and are something else.
func (p *planner) otherEngines() (told bool) {
	before := len(p.out.Skipped)
	for _, v := range p.m.Docker.Variants {
		switch {
		case v.Kind == machine.Podman && p.named:
			p.skip(ToolDocker, "the engine in use is Podman ("+plain(v.Evidence)+"), which reads its own files", p.trustCommand(ToolPodman))
		case v.Kind == machine.Unknown && p.m.GOOS != "darwin":
			p.skip(ToolDocker, "where the engine in use reads its files is not known ("+plain(v.Evidence)+")", "")
		case v.Kind == machine.Unknown && !p.named:
			p.skip(ToolDocker, "there is no Docker Desktop here ("+plain(v.Evidence)+"), and where else Docker runs its files lie in a machine of their own", "")
		}
	}
	return len(p.out.Skipped) > before
}

// mustBeNamed is why an engine is not changed unless it was named, "" if it is.
func (p *planner) mustBeNamed(e engine) string {
	switch {
	case !p.r.Insecure && e.certsRestart != "":
		return "has to be restarted before it reads a CA"
	case p.r.Insecure && (e.configRestart != "" || p.flagged(e)):
		return "has to be restarted before it reads its list of insecure registries"
	}
	return ""
}

func (p *planner) engine(e engine) error {
	if p.r.Insecure {
		return p.insecureEngine(e)
	}
	l := p.of(e.user)
	for _, dir := range e.folders(p.m, p.r.Host) {
		from := len(*l.plan)
		p.folderOf(ToolDocker, l, dir)
		for i := range (*l.plan)[from:] {
			(*l.plan)[from+i].Restart = e.certsRestart
		}
		p.lint(ToolDocker, dir)
	}
	if len(e.certs) == 0 {
		p.skip(ToolDocker, "where "+e.seen()+" looks for CAs is not known", "")
		return nil
	}
	p.secureEngine(e)
	p.engineNotes(e)
	p.done(ToolDocker)
	return nil
}

// engineNotes says what a CA in certs.d is not enough for.
func (p *planner) engineNotes(e engine) {
	if e.kind == machine.Desktop && p.m.GOOS == "windows" {
		// docker/docs prints names with a colon, which NTFS forbids.
		p.note(ToolDocker, p.m.Join(e.certs...), "whether Docker Desktop takes these folders' names for a registry with a port is not documented: "+
			"the certificate store is sure to count, see --for system")
	}
	if p.r.Client != nil && !e.user && p.m.GOOS == "linux" && p.m.Podman.Found {
		for _, dir := range e.folders(p.m, p.r.Host) {
			p.note(ToolDocker, p.m.Join(dir, keyFile), "Podman of a normal user fails on a key that it cannot read, "+
				"where it has no folder of its own for this registry: --for podman makes one")
		}
	}
}
