package trust

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/pki"
)

// docker plans for the engine that runs as root on Linux. It reads certs.d
// afresh on each pull, so nothing has to be restarted.
func (p *planner) docker() {
	d := p.m.Docker
	if name := p.r.Host.Canonical().String(); name == "docker.io" || name == "index.docker.io" {
		// moby daemon/pkg/registry/service_v2.go
		p.skip(ToolDocker, "Docker reads no folder of CAs for Docker Hub: only the system's own store counts", "")
		return
	}
	if d.Remote {
		p.skip(ToolDocker, remoteWords(d)+", and only a change there would help: run this on that machine", p.trustCommand())
		return
	}
	elsewhere := false // another way to run Docker explains why this one is not here
	for _, v := range d.Variants {
		p.variant(v)
		elsewhere = elsewhere || v.Kind == machine.Rootless || v.Kind == machine.Snap || v.Kind == machine.Desktop
	}
	switch {
	case !plansDocker(p.m):
		p.dockerNotPlanned()
	case d.Found || p.named && !elsewhere:
		for _, dir := range dockerFolders(p.m, p.r.Host) {
			p.write(ToolDocker, &p.out.Machine, dir, 0o755)
			p.lint(dir)
		}
		p.out.Tools = append(p.out.Tools, ToolDocker)
	case len(d.Variants) == 0:
		where := "here"
		if p.m.Root != "" {
			where = "in that tree"
		}
		p.skip(ToolDocker, "no Docker engine was found "+where+": no socket, no /etc/docker, no program docker or dockerd", p.trustCommand())
	}
}

// plansDocker says whether the files of Docker's are known well enough here.
func plansDocker(m machine.Machine) bool { return m.GOOS != "darwin" && m.GOOS != "windows" }

func remoteWords(d machine.Docker) string {
	if d.Endpoint == "" {
		return "the Docker engine in use is on another machine, at an address that cannot be read"
	}
	return fmt.Sprintf("the Docker engine in use is on %q (%q)", d.RemoteName(), d.Endpoint)
}

// dockerNotPlanned speaks of macOS and Windows, when no variant has spoken.
func (p *planner) dockerNotPlanned() {
	switch {
	case len(p.m.Docker.Variants) > 0:
	case p.m.GOOS == "windows" && p.m.Docker.Found:
		p.skip(ToolDocker, "the Windows engine ("+p.m.Docker.Evidence+") is not changed by this version; type as administrator",
			p.copyCommand(p.m.Docker.CertsDir, false))
	case p.m.Root != "":
		p.skip(ToolDocker, "a --root run changes trees of Linux alone", "")
	default:
		p.skip(ToolDocker, "no Docker was found here", "")
	}
}

func (p *planner) variant(v machine.Variant) {
	const not = " is not changed by this version"
	seen := fmt.Sprintf(" (%s)", plain(v.Evidence))
	switch v.Kind {
	case machine.Rootless:
		p.skip(ToolDocker, "rootless Docker"+seen+not+"; to add the CA by hand", p.copyCommand(v.CertsDir, false))
	case machine.Snap:
		// canonical/docker-snap snap/snapcraft.yaml maps /etc/docker to this folder
		p.skip(ToolDocker, "Docker from a snap"+seen+not+"; to add the CA by hand", p.copyCommand(v.CertsDir, true))
	case machine.Desktop:
		if p.m.GOOS == "windows" {
			p.desktopOnWindows(seen + not)
			return
		}
		p.skip(ToolDocker, "Docker Desktop"+seen+not+"; add the CA by hand, then restart Docker Desktop", p.copyCommand(v.CertsDir, false))
	case machine.Podman:
		p.skip(ToolDocker, "Podman"+seen+not, "")
	default:
		p.skip(ToolDocker, "Docker"+seen+not, "")
	}
}

// desktopOnWindows: Desktop takes the CAs of the certificate store when it
// starts (docker/docs, desktop/troubleshoot-and-support/faqs/windowsfaqs.md).
func (p *planner) desktopOnWindows(words string) {
	if p.r.Anchor.Leaf {
		p.skip(ToolDocker, "Docker Desktop"+words+"; it takes CAs alone, and this certificate is none", "")
		return
	}
	p.skip(ToolDocker, "Docker Desktop"+words+"; add the CA by hand, which makes it count for every host, then restart Docker Desktop",
		"certutil -user -addstore Root "+p.caSource())
}

// trustCommand is what makes Docker trust the host where it is typed.
func (p *planner) trustCommand() string {
	c := "vicr trust " + p.quote(p.r.Host.String()) + " --fingerprint " + pki.SHA256(p.r.Anchor.Cert).String() + " --for docker"
	if p.m.Root != "" {
		c += " --root " + p.quote(p.m.Root)
	}
	return c
}

// copyCommand is what puts the CA into a certs.d folder by hand.
func (p *planner) copyCommand(certsDir string, root bool) string {
	if certsDir == "" {
		return ""
	}
	m := p.m
	m.Docker.CertsDir = certsDir
	sudo := ""
	if root && m.Euid != 0 {
		sudo = "sudo "
	}
	var parts []string
	for _, dir := range dockerFolders(m, p.r.Host) {
		mkdir, cp := "mkdir -p ", "cp "
		if m.GOOS == "windows" {
			mkdir, cp = "mkdir ", "copy "
		}
		parts = append(parts, sudo+mkdir+p.quote(dir), sudo+cp+p.caSource()+" "+p.quote(m.Join(dir, caFile)))
	}
	return strings.Join(parts, " && ")
}

// caSource is a file that holds the CA once the plan is applied.
func (p *planner) caSource() string {
	for _, s := range p.out.User {
		if s.Tool == string(ToolVicr) {
			return p.quote(s.Path)
		}
	}
	return "FILE"
}

// quote makes s one word of the shell that the machine's users type into.
func (p *planner) quote(s string) string {
	const safe = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:@%+="
	if p.m.GOOS == "windows" {
		if strings.Trim(s, safe+`\`) == "" {
			return s
		}
		return `"` + strings.ReplaceAll(s, `"`, "") + `"`
	}
	if s != "" && strings.Trim(s, safe) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// plain shows foreign text without what could steer a terminal.
func plain(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) {
		return strconv.Quote(s)
	}
	return s
}
