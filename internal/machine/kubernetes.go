package machine

import "strings"

// lookKubernetes looks for the two that read a registries.yaml (k3s-io/docs
// installation/private-registry.md; docs.rke2.io/install/private_registry).
func lookKubernetes(m Machine) []Kubernetes {
	if m.GOOS == windows || m.GOOS == darwin {
		return nil
	}
	var out []Kubernetes
	for _, k := range []struct {
		name            string
		programs, units []string
	}{
		{"k3s", []string{"/usr/local/bin/k3s", "/usr/bin/k3s", "/opt/bin/k3s"}, []string{"k3s", "k3s-agent"}},
		{"rke2", []string{"/usr/local/bin/rke2", "/usr/bin/rke2", "/opt/rke2/bin/rke2"}, []string{"rke2-server", "rke2-agent"}},
	} {
		dir := "/etc/rancher/" + k.name
		found := Kubernetes{Name: k.name, Dir: dir, ConfigFile: dir + "/registries.yaml"}
		var seen []string
		if at := firstOf(m, k.programs...); at != "" {
			seen = append(seen, "program "+at)
		}
		if m.isDir(dir) {
			seen = append(seen, "folder "+dir)
		}
		for _, unit := range k.units {
			for _, folder := range unitFolders() {
				if info, err := m.Stat(folder + "/" + unit + ".service"); err == nil && info.Mode().IsRegular() {
					found.Units = append(found.Units, unit)
					seen = append(seen, "unit "+unit)
					break
				}
			}
		}
		found.Found, found.Evidence = len(seen) > 0, strings.Join(seen, ", ")
		out = append(out, found)
	}
	return out
}
