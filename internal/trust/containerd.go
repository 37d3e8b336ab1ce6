package trust

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/edit"
	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/ref"
)

const (
	hostsFile       = "hosts.toml"
	containerdCerts = "/etc/containerd/certs.d"
)

// containerd plans for its CRI plugin and nerdctl. They read certs.d at each
// pull, but config.toml, which has to name that folder, at their start.
func (p *planner) containerd() {
	c := p.m.Containerd
	switch {
	case p.m.GOOS == "windows" || p.m.GOOS == "darwin":
		if p.named {
			p.skip(ToolContainerd, "containerd is planned for on Linux alone", "")
		} else {
			p.absent(ToolContainerd)
		}
		return
	case !c.Found && !p.named:
		p.absent(ToolContainerd)
		return
	case p.named, c.ConfigPath != "", c.Nerdctl:
	case !c.CRI:
		p.later(ToolContainerd, "containerd ("+plain(c.Evidence)+") is asked for images by nobody but Docker and ctr: its CRI plugin is off or cannot be seen")
		return
	default:
		p.later(ToolContainerd, "containerd ("+plain(c.Evidence)+") looks into no certs.d: config_path is not set, and has to be before it is started again")
		return
	}
	if c.Mirrors && c.ConfigPath == "" && !c.Nerdctl {
		p.skip(ToolContainerd, fmt.Sprintf("%q has registry.mirrors or registry.configs, with which config_path may not stand: no certs.d is read until they are gone", c.ConfigFile), "")
		return
	}
	certs := c.CertsDir
	if certs == "" {
		certs = containerdCerts
	}
	if p.rootlessNerdctl() {
		p.hosts(p.user(), c.UserCerts)
	}
	if p.named || c.ConfigPath != "" || p.m.Euid == 0 || c.Socket != "" {
		if p.hosts(p.machine(), certs) {
			p.configPath(certs)
			p.note(ToolContainerd, certs, "ctr looks there only with --hosts-dir "+plain(certs))
		}
	}
}

// rootlessNerdctl says whether nerdctl runs as this user, with a folder of its own.
func (p *planner) rootlessNerdctl() bool {
	c := p.m.Containerd
	if !c.Nerdctl || p.m.Euid == 0 || c.UserCerts == "" || p.m.Root != "" {
		return false
	}
	own := strings.TrimSuffix(c.UserCerts, "/containerd/certs.d")
	return c.Socket == "" || p.exists(own+"/systemd/user/containerd.service")
}

// hosts plans the folders of the registry in a certs.d, and says whether it
// could. A hosts.toml of somebody else's counts instead of the CAs beside it.
func (p *planner) hosts(l level, certs string) bool {
	dirs := literal(p.m, certs, p.r.Host)
	for _, dir := range dirs {
		file := p.m.Join(dir, hostsFile)
		if info, err := p.m.Stat(file); err == nil && info.Size() > 0 && !p.marked(file) {
			p.note(ToolContainerd, file, "it counts alone: containerd reads no .crt that it does not name")
			p.skip(ToolContainerd, fmt.Sprintf("%q is somebody else's; add by hand %s", file, p.hostLine(dir)), "")
			return false
		}
	}
	for _, dir := range dirs {
		file := p.m.Join(dir, hostsFile)
		if !p.r.Insecure {
			p.folderOf(ToolContainerd, l, dir)
			if p.marked(file) {
				p.add(l, change.Step{Tool: string(ToolContainerd), Path: file, Op: change.OpRemove})
			}
			p.lint(ToolContainerd, dir)
			continue
		}
		if name := path.Base(dir); !slices.Contains(p.namesByScheme(), name) {
			if p.marked(file) {
				p.add(l, change.Step{Tool: string(ToolContainerd), Path: file, Op: change.OpRemove})
			}
		} else {
			p.add(l, change.Step{
				Tool: string(ToolContainerd), Path: file, Data: []byte(p.hostsToml(name)), Mode: filesMode, DirMode: l.mode, Op: change.OpWrite,
			})
		}
		p.forgetFolder(ToolContainerd, l, dir, "containerd does not read it beside a hosts.toml")
	}
	p.done(ToolContainerd)
	return true
}

// hostLine is what a hosts.toml needs for this request.
func (p *planner) hostLine(dir string) string {
	url := p.url(path.Base(dir))
	switch {
	case p.r.Insecure && p.r.HTTP:
		return fmt.Sprintf("the table [host.%q]", url)
	case p.r.Insecure:
		return fmt.Sprintf("in the table [host.%q]: skip_verify = true", url)
	}
	line := fmt.Sprintf("in the table [host.%q]: ca = %q, for the CA in that file", url, dir+"/"+caFile)
	if p.r.Client != nil {
		line += fmt.Sprintf(", and client = [[%q, %q]]", dir+"/"+certFile, dir+"/"+keyFile)
	}
	return line
}

func (p *planner) url(name string) string {
	if p.r.HTTP {
		return "http://" + name
	}
	return "https://" + name
}

// hostsToml is the form that containerd 1.6 takes as well as 2, also for an IPv6
// address, which 1.6 cannot read in the name of a table. The server is tried
// after the host, and needs the same said once more.
func (p *planner) hostsToml(name string) string {
	url := p.url(name)
	top, skip := "", ""
	if !p.r.HTTP {
		top, skip = "skip_verify = true\n", ", skip_verify = true"
	}
	return fmt.Sprintf("%sserver = %q\n%s\n[host]\n%q = {capabilities = [\"pull\", \"resolve\", \"push\"]%s}\n", mark, url, top, url, skip)
}

// configPath plans that config.toml names the folder, where CRI needs that.
func (p *planner) configPath(certs string) {
	c := p.m.Containerd
	file := c.ConfigFile
	absent := !p.exists(file)
	data := fmt.Sprintf("%sversion = 2\n\n[plugins.%q.registry]\n  config_path = %q\n", mark, "io.containerd.grpc.v1.cri", certs)
	r := p.restartOf("containerd", "service containerd restart", p.m.Docker.Daemon.Systemd, "containerd.service")
	step := change.Step{Tool: string(ToolContainerd), Path: file, DirMode: dirMode, Restart: p.typed(r)}
	now, _ := p.m.ReadFile(file, maxConfig) //nolint:errcheck // what cannot be read is no file of ours
	switch {
	case file == "":
		return
	case c.Problem != "":
		p.note(ToolContainerd, file, "it cannot be read, so that nobody knows whether it names this folder: "+plain(c.Problem))
		return
	case !absent && !c.CRI:
		p.note(ToolContainerd, file, "the CRI plugin is off: nobody but nerdctl and ctr looks there")
		return
	case !p.named && c.ConfigPath == "":
		p.note(ToolContainerd, file, "config_path is not set, so that Kubernetes looks into no certs.d: --for containerd sets it")
		return
	case absent || string(now) == data:
		step.Op, step.Data, step.Mode = change.OpWrite, []byte(data), filesMode
	case strings.Contains(c.ConfigPath, ":"):
		p.note(ToolContainerd, file, fmt.Sprintf("config_path is the list %q, which some pulls take for one folder: name %s alone", c.ConfigPath, certs))
		return
	case c.ConfigPath != "":
		// Another registry's edit may be the one that says so: it is this one's too.
		e := configPathEdit(c.Version, certs)
		if has, err := e.Has(now); err == nil && has {
			step.Op, step.Edit, step.Restart = change.OpEdit, &e, ""
			p.add(p.machine(), step)
		}
		return
	case c.Mirrors:
		p.note(ToolContainerd, file, "it has registry.mirrors or registry.configs, with which config_path may not stand: CRI reads no certs.d until they are gone")
		return
	default:
		e := configPathEdit(c.Version, certs)
		step.Op, step.Edit = change.OpEdit, &e
	}
	if c.Imports {
		p.note(ToolContainerd, file, "it imports other files, which may set config_path or mirrors")
	}
	p.add(p.machine(), step)
	p.restart(ToolContainerd, p.machine(), r)
}

func configPathEdit(version int, certs string) edit.Edit {
	return edit.Edit{Format: edit.Set, Key: criTable(version), Value: "config_path", Body: fmt.Sprintf("%q", certs)}
}

// criTable is the table of registries by the format of config.toml.
func criTable(version int) string {
	switch {
	case version <= 1:
		return `plugins.cri.registry`
	case version == 2:
		return `plugins."io.containerd.grpc.v1.cri".registry`
	default:
		return `plugins."io.containerd.cri.v1.images".registry`
	}
}

// containerdFolders are those of h that are looked into, found or not.
func containerdFolders(m machine.Machine, h ref.Host) []string {
	var dirs []string
	for _, certs := range []string{m.Containerd.CertsDir, containerdCerts, m.Containerd.UserCerts} {
		if m.GOOS != "linux" {
			continue
		}
		for _, dir := range literal(m, certs, h) {
			dirs = appendNew(dirs, dir)
		}
	}
	return dirs
}
