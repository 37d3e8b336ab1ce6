package trust

import (
	"slices"
	"strings"

	"github.com/vicr-cli/vicr/internal/machine"
)

// elsewhere says what has to be typed for tools whose files lie in a machine of
// their own, unless the user named others.
func (p *planner) elsewhere(tools []Tool) {
	if p.r.Network.IsValid() || p.data == nil && !p.r.Insecure {
		return
	}
	for _, e := range p.m.Elsewhere {
		if p.named && (e.Name != "podman machine" || !slices.Contains(tools, ToolPodman)) {
			continue
		}
		paste := Paste{Tool: e.Name}
		if p.r.Insecure {
			paste.Why, paste.Lines = p.insecureElsewhere(e)
		} else {
			paste.Why, paste.Lines = p.secureElsewhere(e)
		}
		if paste.Why != "" {
			p.out.Pastes = append(p.out.Pastes, paste)
		}
	}
}

func (p *planner) secureElsewhere(e machine.Elsewhere) (why string, lines []string) {
	switch e.Name {
	case "kind":
		return p.kind(e)
	case "minikube":
		if p.r.Anchor.Leaf {
			return "", nil // its store takes CAs alone
		}
		dir := "~/.minikube/certs"
		if at, ok := strings.CutPrefix(e.Evidence, "folder "); ok {
			dir = p.quote(p.m.Join(at, "certs"))
		}
		return "minikube takes it into the cluster's system store when it starts, for every host", p.minikubeStart(e, []string{
			p.mkdir() + dir, p.copies() + p.caSource() + " " + p.within(dir, "vicr-"+p.r.Host.Folder()+".crt"),
		}, "")
	case "podman machine":
		return "Podman runs in a machine of its own, and reads its files there", p.each(p.oneWord, "podman machine ssh", "/etc/containers/certs.d")
	case "colima":
		for _, name := range instances(e, "default") {
			shell := "colima ssh"
			if name != "default" {
				shell += " -p " + p.quote(name)
			}
			lines = append(lines, p.each(p.words, shell+" --", "/etc/docker/certs.d")...)
		}
		return "Docker runs in Colima's machine, and reads its files there", lines
	case "lima":
		for _, name := range instances(e, "default") {
			lines = append(lines, p.each(p.inShell, "limactl shell "+p.quote(name), "~/.config/containerd/certs.d")...)
		}
		return "nerdctl runs in Lima's machine, as a normal user", lines
	case "rancher desktop":
		return "its engine runs in a machine of its own, and reads its files there", p.each(p.words, "rdctl shell", "/etc/docker/certs.d")
	case "vic-machine":
		return "a virtual container host has the CAs that it was given, and no others: name all of them again", []string{
			p.vicMachine() + " configure --target TARGET --user USER --name VCH --registry-ca " + p.caSource(),
		}
	}
	return "", nil
}

func (p *planner) insecureElsewhere(e machine.Elsewhere) (why string, lines []string) {
	switch e.Name {
	case "minikube":
		return "it counts for clusters that are made with it, and not for those that are there", p.minikubeStart(e, nil, " --insecure-registry="+p.quote(p.r.Host.String()))
	case "colima":
		return "to be added below docker: in what this opens: insecure-registries: [" + p.r.Host.String() + "]", []string{"colima start --edit"}
	case "vic-machine":
		return "a virtual container host has the registries that it was given, and no others: name all of them again", []string{
			p.vicMachine() + " configure --target TARGET --user USER --name VCH --insecure-registry " + p.quote(p.r.Host.String()),
		}
	}
	return "", nil
}

// instances are the machines that were seen, or the usual one.
func instances(e machine.Elsewhere, usual string) []string {
	if len(e.Detail) == 0 {
		return []string{usual}
	}
	return e.Detail
}

// kind: the node images since kind v0.27 look into certs.d at each pull (kind
// site/static/examples/kind-with-registry.sh).
func (p *planner) kind(e machine.Elsewhere) (why string, lines []string) {
	for _, cluster := range instances(e, "kind") {
		node := p.quote(cluster + "-control-plane")
		for _, name := range p.r.Host.Spellings() {
			dir := containerdCerts + "/" + name
			lines = append(
				lines, "docker exec "+node+" mkdir -p "+p.quote(dir),
				"docker cp "+p.caSource()+" "+p.quote(cluster+"-control-plane:"+dir+"/"+caFile),
			)
		}
	}
	return "each node reads its own files, and loses them with the cluster; kind get nodes names the others. Nodes made by kind before v0.27 look nowhere", lines
}

func (p *planner) minikubeStart(e machine.Elsewhere, lines []string, flag string) []string {
	for _, name := range instances(e, "minikube") {
		line := "minikube start"
		if name != "minikube" {
			line += " -p " + p.quote(name)
		}
		lines = append(lines, line+flag)
	}
	return lines
}

// each are the commands that put the CA into a certs.d on the other side of a
// shell, which takes them in its own way.
func (p *planner) each(take func(command, path string) string, shell, certs string) (lines []string) {
	for _, name := range p.r.Host.Spellings() {
		dir := certs + "/" + name
		lines = append(lines, shell+" "+take("mkdir -p", dir), shell+" "+take("tee", dir+"/"+caFile)+" < "+p.caSource())
	}
	return lines
}

// words is for a shell that hands its arguments on as they are.
func (p *planner) words(command, path string) string { return "sudo " + command + " " + p.quote(path) }

// oneWord is for ssh, which makes one text of its arguments, that is split again.
func (p *planner) oneWord(command, path string) string {
	return p.quote("sudo " + command + " " + inner(path))
}

// inShell is for a path in the home of that user.
func (p *planner) inShell(command, path string) string {
	return "sh -c " + p.quote(command+" "+inner(path))
}

// inner protects the brackets of an IPv6 address from the other shell.
func inner(path string) string {
	return strings.NewReplacer("[", `\[`, "]", `\]`).Replace(path)
}

func (p *planner) vicMachine() string {
	return map[string]string{"darwin": "vic-machine-darwin", "windows": "vic-machine-windows"}[p.m.GOOS] +
		map[bool]string{true: "vic-machine-linux"}[p.m.GOOS != "darwin" && p.m.GOOS != "windows"]
}

func (p *planner) mkdir() string {
	if p.m.GOOS == "windows" {
		return "mkdir "
	}
	return "mkdir -p "
}

func (p *planner) copies() string {
	if p.m.GOOS == "windows" {
		return "copy "
	}
	return "cp "
}

// within joins a folder that is quoted already and a name that needs no quotes.
func (p *planner) within(dir, name string) string {
	sep := "/"
	if p.m.GOOS == "windows" {
		sep = `\`
	}
	if strings.HasSuffix(dir, `"`) || strings.HasSuffix(dir, "'") {
		return dir[:len(dir)-1] + sep + name + dir[len(dir)-1:]
	}
	return dir + sep + name
}
