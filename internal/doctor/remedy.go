package doctor

import (
	"slices"
	"strings"

	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/trust"
)

// Remedies are typed as they stand: each has the flags without which it would
// be refused on the road that was seen.

// loginLines are the commands that log in.
func (d *doctor) loginLines(f facts, more string) []string {
	line := "vicr login " + word(d.target.Host.String()) + more
	switch f.problem {
	case "":
		return []string{line + f.clear()}
	case pki.UnknownIssuer.String():
		return []string{line} // once tls is ok, which has a remedy
	}
	return []string{
		line + "   # once what tls says is mended",
		"or, if everyone on the way may read the password: " + line + " --insecure-skip-verify --allow-insecure-credentials",
	}
}

// clear are the flags that let a password go over plain HTTP, if that is spoken.
func (f facts) clear() string {
	if f.plain() {
		return " --plain-http --allow-insecure-credentials"
	}
	return ""
}

// way is the flag that commands which send no password need.
func (f facts) way() string {
	if f.plain() {
		return " --plain-http"
	}
	return ""
}

// url is the registry's address for a browser or curl.
func (d *doctor) url(f facts, path string) string {
	scheme := "https://"
	if f.plain() {
		scheme = "http://"
	}
	return scheme + d.target.Host.Endpoint().String() + path
}

// onPort is the host with a port to be filled in.
func (d *doctor) onPort() string {
	name := d.target.Host.Endpoint().Name()
	if strings.ContainsRune(name, ':') {
		name = "[" + name + "]"
	}
	return "vicr doctor " + word(name+":PORT")
}

// image is the one that was typed, as far as it was.
func (d *doctor) image() string {
	t := d.target
	name := t.Host.String() + "/PROJECT/REPO"
	if strings.Contains(t.Path, "/") {
		name = t.Host.String() + "/" + t.Path
	}
	switch {
	case t.Digest != "":
		return name + "@" + t.Digest
	case t.Tag != "":
		return name + ":" + t.Tag
	}
	return name + ":TAG"
}

// insecureTools are the lines that make the tools found here speak plain HTTP.
func (d *doctor) insecureTools() []string {
	m, line := d.o.Machine, "vicr trust "+word(d.target.Host.String())+" --insecure --for "
	told := trust.Unverified(m, d.target.Host)
	var lines []string
	for _, t := range []struct {
		tool trust.Tool
		here bool
	}{{trust.ToolDocker, m.Docker.Found || len(m.Docker.Variants) > 0}, {trust.ToolPodman, m.Podman.Found}} {
		if t.here && !slices.Contains(told, t.tool) {
			lines = append(lines, line+string(t.tool))
		}
	}
	return lines
}

func (d *doctor) lookUp(name string) string {
	if d.o.Machine.GOOS == "linux" {
		return "getent hosts " + word(name)
	}
	return "nslookup " + word(name)
}

func (d *doctor) trace(name string) string {
	if d.o.Machine.GOOS == "windows" {
		return "tracert " + word(name)
	}
	return "traceroute " + word(name)
}

// silent is for an engine that does not answer.
func (d *doctor) silent(e engineFacts) []string {
	linux := d.o.Machine.GOOS == "linux"
	switch {
	case e.kind == "" && linux:
		return []string{"docker info", "sudo systemctl status docker"}
	case e.kind == machine.Rootless:
		return []string{"systemctl --user status docker"}
	case e.kind == machine.Snap:
		return []string{"sudo snap services docker"}
	case e.kind == machine.Desktop:
		return []string{"start Docker Desktop, then: docker info"}
	case e.kind == machine.Podman && linux:
		return []string{"podman info", "systemctl --user status podman.socket"}
	case e.kind == machine.Podman:
		return []string{"podman machine start"}
	case e.kind == machine.Unknown:
		return []string{"ls -l " + word(e.socket)}
	}
	return []string{"docker info"}
}

// proxyOfEngine shows the proxy that an engine takes.
func (d *doctor) proxyOfEngine(e engineFacts) []string {
	if e.info.Podman {
		return []string{"podman info   # its proxy is not yours"}
	}
	lines := []string{"docker info --format '{{.HTTPProxy}} {{.HTTPSProxy}} {{.NoProxy}}'   # its proxy is not yours"}
	if e.kind == "" && d.o.Machine.GOOS == "linux" {
		lines = append(lines, "systemctl show docker --property Environment")
	}
	return lines
}

// reload makes an engine read its daemon.json again.
func (e engineFacts) reload() string {
	switch e.kind {
	case machine.Rootless:
		return "systemctl --user reload docker"
	case machine.Snap:
		return "sudo snap restart docker"
	case machine.Desktop:
		return "restart Docker Desktop"
	}
	return "sudo systemctl reload docker"
}

// layCA puts a CA where one is read from, in a folder that need not be there.
func layCA(sudo, dir, name string) string {
	return sudo + "mkdir -p " + word(dir) + " && " + sudo + "cp CA-OF-THE-TOKEN-SERVICE.crt " + word(dir+name)
}
