package machine

import (
	"regexp"
	"slices"
	"strings"
	"sync"
)

const (
	kubeConfigLimit = 4 << 20 // bytes
	mostKubeConfigs = 16      // files that KUBECONFIG names
)

// lookElsewhere finds the tools whose files lie in a machine of their own.
func lookElsewhere(m Machine, o Options) []Elsewhere {
	if m.Root != "" {
		return nil
	}
	var out []Elsewhere
	add := func(name, evidence string, detail []string) {
		if evidence != "" {
			out = append(out, Elsewhere{Name: name, Evidence: evidence, Detail: detail})
		}
	}
	program := func(name string) string { return word("program ", m.program(o, name)) }
	folder := func(dir string) string {
		if dir == "" || !m.isDir(dir) {
			return ""
		}
		return "folder " + dir
	}
	home := func(elem ...string) string { return within(o.GOOS, o.Home, elem...) }

	file, clusters := m.kindClusters(o)
	add("kind", first(word("file ", file), program("kind")), clusters)

	minikube := within(o.GOOS, first(o.dir("MINIKUBE_HOME"), o.Home), ".minikube")
	if strings.HasSuffix(o.dir("MINIKUBE_HOME"), ".minikube") {
		minikube = o.dir("MINIKUBE_HOME")
	}
	add("minikube", first(folder(minikube), program("minikube")), m.names(within(o.GOOS, minikube, "profiles"), true))

	pod := folder(home(".config", "containers", "podman", "machine"))
	if m.Podman.Machine {
		pod = first(pod, word("program ", m.Podman.Programs["podman"]))
	}
	add("podman machine", pod, nil)

	colima := first(o.dir("COLIMA_HOME"), home(".colima"))
	add("colima", first(folder(colima), program("colima")), m.machines(colima))
	add("vic-machine", m.vicMachine(o), nil)
	lima := first(o.dir("LIMA_HOME"), home(".lima"))
	add("lima", first(folder(lima), program("limactl")), m.machines(lima))
	add("rancher desktop", first(folder(home(".rd")), program("rdctl")), nil)
	return out
}

// word is a path with its kind before it, "" without a path.
func word(kind, p string) string {
	if p == "" {
		return ""
	}
	return kind + p
}

// machines are the folders that stand for a machine; Lima and Colima keep their
// own things in those with an underscore.
func (m Machine) machines(dir string) []string {
	return slices.DeleteFunc(m.names(dir, true), func(name string) bool { return strings.HasPrefix(name, "_") || name == "ssh_config" })
}

// kindContext is a name that kind gives to a cluster, a context and a user.
var kindContext = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`\bname["']?:[ \t]*["']?kind-([a-z0-9][a-z0-9.-]{0,62})`)
})

// kindClusters are the clusters of kind that the user's kubeconfig knows, and
// the file that says so.
func (m Machine) kindClusters(o Options) (file string, names []string) {
	files := []string{within(o.GOOS, o.Home, ".kube", "config")}
	if o.Getenv != nil && o.Getenv("KUBECONFIG") != "" {
		sep := ":"
		if o.GOOS == windows {
			sep = ";"
		}
		files = strings.SplitN(o.Getenv("KUBECONFIG"), sep, mostKubeConfigs+1)
		files = files[:min(len(files), mostKubeConfigs)]
	}
	for _, f := range files {
		if f = tidy(o.GOOS, f); f == "" {
			continue
		}
		data, err := m.ReadFile(f, kubeConfigLimit)
		if err != nil {
			continue
		}
		for _, match := range kindContext().FindAllSubmatch(data, 4*mostInstances) {
			if name := string(match[1]); !slices.Contains(names, name) && len(names) < mostInstances {
				names = append(names, name)
				file = first(file, f)
			}
		}
	}
	slices.Sort(names)
	return file, names
}

// vicMachine is the tool that makes virtual container hosts, in PATH or where
// its bundle is unpacked.
func (m Machine) vicMachine(o Options) string {
	name := map[string]string{linux: "vic-machine-linux", darwin: "vic-machine-darwin", windows: "vic-machine-windows.exe"}[o.GOOS]
	if name == "" {
		return ""
	}
	if at := m.program(o, strings.TrimSuffix(name, ".exe")); at != "" {
		return "program " + at
	}
	for _, dir := range []string{"vic", "Downloads/vic", "bin", ""} {
		elem := append(strings.Split(dir, "/"), name)
		if p := within(o.GOOS, o.Home, elem...); p != "" && m.exists(p) {
			return "program " + p
		}
	}
	return ""
}
