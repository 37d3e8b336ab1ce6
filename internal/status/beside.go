package status

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/trust"
)

// maxConfig is the largest daemon.json that is read, in bytes; package edit
// takes no larger one.
const maxConfig = 1 << 20

// beside looks at what is not recorded and decides all the same whether the
// registry can be used: the certificate's age, and what lies beside the files.
func (c *checker) beside(r *registry) {
	c.age(r)
	if r.host.IsZero() {
		return
	}
	if c.o.Unread {
		c.fromFiles(r)
	}
	c.shadows(r)
	c.lint(r)
	c.insecure(r)
}

// age speaks of each CA that some tool has.
func (c *checker) age(r *registry) {
	renew := "get the new CA from the registry's administrator, then: vicr trust " + c.quote(r.Host) + " --ca-file FILE" + c.root()
	trusted := []Trust{r.Trust}
	for _, t := range r.Tools {
		trusted = append(trusted, t.Trust)
	}
	for _, t := range trusted {
		if t.NotAfter == "" {
			continue
		}
		switch day := t.NotAfter[:len("2006-01-02")]; {
		case t.DaysLeft < 0:
			r.add("", Finding{Kind: KindExpired, Text: "the CA expired on " + day, Remedy: renew})
		case t.DaysLeft < urgentDays:
			r.add("", Finding{Kind: KindExpiring, Text: fmt.Sprintf("the CA ends on %s, in %d days", day, t.DaysLeft), Remedy: renew})
		case t.DaysLeft < renewDays:
			r.add("", Finding{Kind: KindRenew, Text: fmt.Sprintf("the CA ends on %s, in %d days", day, t.DaysLeft), Remedy: renew})
		}
	}
}

// fromFiles sees the machine's part without its journal: the files that vicr
// would write, and whether they hold the CA that the user's own record names.
func (c *checker) fromFiles(r *registry) {
	anchor := r.anchor("")
	if anchor.IsZero() {
		return
	}
	for _, path := range trust.MachinePaths(c.m, r.host) {
		tool := c.toolOf(path)
		if tool == "" || !strings.HasSuffix(path, ".crt") && !strings.HasSuffix(path, ".pem") || slices.Contains(r.recorded, path) {
			continue
		}
		ok, err := c.holdsCA(path, anchor)
		switch {
		case err != nil: // not there, or not for this user to read
		case ok:
			t := r.tool(tool)
			t.Trust = r.Trust
			t.Files = append(t.Files, File{Path: path, State: FileOK})
		default:
			t := r.tool(tool)
			t.Files = append(t.Files, File{Path: path, State: FileChanged})
			r.add(tool, Finding{
				Kind: KindChanged, Path: path, Text: "it holds another CA than the one that you trust", Remedy: c.again(r, tool),
			})
		}
	}
}

// toolOf is the tool that reads CAs below a folder that a path is in, "" if none does.
func (c *checker) toolOf(path string) string {
	m := c.m
	type place struct {
		dir  string
		tool trust.Tool
	}
	places := []place{
		{m.Docker.CertsDir, trust.ToolDocker},
		{m.Podman.CertsDir, trust.ToolPodman},
		{m.Podman.UserCerts, trust.ToolPodman},
		{m.Containerd.CertsDir, trust.ToolContainerd},
		{m.Containerd.UserCerts, trust.ToolContainerd},
		{c.dir(m.BuildKit.ConfigFile), trust.ToolBuildKit},
		{m.System.Dir, trust.ToolSystem},
	}
	for _, v := range m.Docker.Variants {
		places = append(places, place{v.CertsDir, trust.ToolDocker}, place{v.AlsoCertsDir, trust.ToolDocker})
	}
	for _, k := range m.Kubernetes {
		places = append(places, place{k.Dir, trust.ToolK3s})
	}
	for _, p := range places {
		if in(path, p.dir) {
			return string(p.tool)
		}
	}
	return ""
}

// in says whether a path lies below a folder.
func in(path, dir string) bool {
	rest, ok := strings.CutPrefix(path, dir)
	return ok && dir != "" && rest != "" && strings.IndexByte(`/\`, rest[0]) >= 0
}

// shadows finds the folders that a tool takes before the one that vicr wrote
// to: the first that is there counts, also when it is empty
// (containers/image docker/docker_client.go, dockerCertDir; containerd
// core/remotes/docker/config/config_unix.go, hostDirectory).
func (c *checker) shadows(r *registry) {
	for _, t := range slices.Clone(r.Tools) {
		for _, f := range t.Files {
			dir, name := c.split(c.dir(f.Path))
			var instead []string
			switch trust.Tool(t.Tool) {
			case trust.ToolPodman:
				order := []string{c.m.Podman.UserCerts, c.m.Podman.CertsDir, c.m.Docker.CertsDir}
				instead = order[:max(slices.Index(order, dir), 0)]
			case trust.ToolDocker, trust.ToolContainerd:
				if i := strings.LastIndexByte(name, ':'); i > 0 {
					name = name[:i] + "_" + name[i+1:] + "_"
					instead = append(instead, dir)
				}
			}
			for _, before := range instead {
				c.shadow(r, t.Tool, before, name)
			}
		}
	}
}

// shadow speaks of one such folder, unless it has the CA too.
func (c *checker) shadow(r *registry, tool, certs, name string) {
	if certs == "" {
		return
	}
	dir := c.m.Join(certs, name)
	entries, err := c.m.ReadDir(dir)
	if err != nil || slices.ContainsFunc(r.recorded, func(p string) bool { return in(p, dir) }) {
		return
	}
	for _, e := range entries {
		if ok, _ := c.holdsCA(c.m.Join(dir, e.Name()), r.anchor(tool)); ok && strings.HasSuffix(e.Name(), ".crt") {
			return
		}
	}
	remedy := c.away(dir)
	if len(entries) == 0 && c.m.GOOS != "windows" {
		remedy = c.sudo(dir) + "rmdir " + c.quote(c.real(dir))
	}
	r.add(tool, Finding{Kind: KindShadowed, Path: dir, Text: tool + " reads this folder instead, and the CA is not in it", Remedy: remedy})
}

// split is the folder that a path is in, and its name there.
func (c *checker) split(path string) (dir, name string) {
	seps := "/"
	if c.m.GOOS == "windows" {
		seps = `/\`
	}
	i := strings.LastIndexAny(path, seps)
	return path[:max(i, 0)], path[i+1:]
}

func (c *checker) dir(path string) string { dir, _ := c.split(path); return dir }

// insecure finds the registry among those that an engine does not verify: the
// CA is then for nothing. Names are not looked up, so of the networks in the
// list only those that hold an address that was typed are found.
func (c *checker) insecure(r *registry) {
	if !r.has(string(trust.ToolDocker)) || r.anchor(string(trust.ToolDocker)).IsZero() {
		return
	}
	type engine struct {
		certs, config string
		daemon        machine.Daemon
	}
	engines := []engine{{c.m.Docker.CertsDir, c.m.Docker.ConfigFile, c.m.Docker.Daemon}}
	for _, v := range c.m.Docker.Variants {
		engines = append(engines, engine{v.CertsDir, v.ConfigFile, v.Daemon})
	}
	for _, e := range engines {
		if !slices.ContainsFunc(r.tool(string(trust.ToolDocker)).Files, func(f File) bool { return in(f.Path, e.certs) }) {
			continue
		}
		if e.config != "" {
			if entry := covering(c.insecureList(e.config), r.host); entry != "" {
				r.add(string(trust.ToolDocker), Finding{
					Kind: KindInsecure, Path: e.config,
					Text:   fmt.Sprintf("its insecure-registries have %q: Docker does not verify this registry, whatever CA is there", entry),
					Remedy: fmt.Sprintf("take %q out of insecure-registries in %s, then restart Docker", entry, c.quote(c.real(e.config))),
				})
			}
		}
		if entry := covering(e.daemon.InsecureFlags, r.host); entry != "" {
			remedy := "take it out of the options that Docker is started with, then restart Docker"
			if len(e.daemon.FlagFiles) > 0 {
				remedy = fmt.Sprintf("take it out of %s, then restart Docker", c.quote(c.real(e.daemon.FlagFiles[0].Path)))
			}
			r.add(string(trust.ToolDocker), Finding{
				Kind: KindInsecure, Text: fmt.Sprintf("Docker is started with --insecure-registry %q: it does not verify this registry", entry), Remedy: remedy,
			})
		}
	}
}

// covering is the entry of a list of insecure registries that h falls under.
func covering(list []string, h ref.Host) string {
	addr, _ := netip.ParseAddr(h.Name()) // zero for a name, which is in no network
	for _, entry := range list {
		plain := entry
		for _, scheme := range []string{"http://", "https://"} {
			plain = strings.TrimPrefix(plain, scheme)
		}
		if other, err := ref.ParseHost(plain); err == nil && other.Canonical() == h.Canonical() {
			return entry
		}
		if network, err := netip.ParsePrefix(plain); err == nil && network.Contains(addr) {
			return entry
		}
	}
	return ""
}
