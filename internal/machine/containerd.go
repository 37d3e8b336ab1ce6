package machine

import (
	"strings"

	toml "github.com/pelletier/go-toml/v2"
)

// containerdConfig is what counts of config.toml, whose sections changed their
// names with its versions (containerd docs/cri/registry.md): version 1 has
// plugins.cri, 2 io.containerd.grpc.v1.cri, 3 and 4 io.containerd.cri.v1.images.
type containerdConfig struct {
	Version  int            `toml:"version"`
	Disabled []string       `toml:"disabled_plugins"`
	Imports  []string       `toml:"imports"`
	Plugins  map[string]any `toml:"plugins"`
}

const containerdLimit = 1 << 20 // bytes of config.toml

func lookContainerd(m Machine, o Options) Containerd {
	if o.GOOS == windows || o.GOOS == darwin {
		return Containerd{}
	}
	c := Containerd{ConfigFile: "/etc/containerd/config.toml", CertsDir: "/etc/containerd/" + certsD}
	if m.Root == "" {
		c.UserCerts = within(o.GOOS, o.userConfig(), "containerd", certsD)
		c.Socket = firstSocket(m, "/run/containerd/containerd.sock", "/var/run/containerd/containerd.sock")
	}
	nerdctl := m.program(o, "nerdctl")
	c.Nerdctl = nerdctl != ""
	var seen []string
	for _, sign := range []struct{ kind, path string }{
		{"socket ", c.Socket}, {"program ", m.program(o, "containerd")}, {"program ", nerdctl},
	} {
		if sign.path != "" {
			seen = append(seen, sign.kind+sign.path)
		}
	}
	if m.exists(c.ConfigFile) {
		seen = append(seen, "file "+c.ConfigFile)
		c.readConfig(m)
	} else {
		c.CRI = len(seen) > 0
	}
	c.Found, c.Evidence = len(seen) > 0, strings.Join(seen, ", ")
	return c
}

// readConfig takes over what config.toml says. Its imports are not followed.
func (c *Containerd) readConfig(m Machine) {
	data, err := m.ReadFile(c.ConfigFile, containerdLimit)
	if err != nil {
		c.Problem = err.Error()
		return
	}
	var f containerdConfig
	if err := toml.Unmarshal(data, &f); err != nil {
		c.Problem = err.Error()
		return
	}
	c.Version, c.CRI, c.Imports = max(f.Version, 1), true, len(f.Imports) > 0
	for _, name := range f.Disabled {
		switch name {
		case "cri", "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images":
			c.CRI = false
		}
	}
	for _, plugin := range []string{"io.containerd.cri.v1.images", "io.containerd.grpc.v1.cri", "cri"} {
		section, _ := f.Plugins[plugin].(map[string]any)
		registry, _ := section["registry"].(map[string]any)
		if p, _ := registry["config_path"].(string); c.ConfigPath == "" {
			c.ConfigPath = p
		}
		for _, key := range []string{"mirrors", "configs"} {
			if t, _ := registry[key].(map[string]any); len(t) > 0 {
				c.Mirrors = true
			}
		}
	}
	for dir := range strings.SplitSeq(c.ConfigPath, ":") {
		if dir = tidy(linux, dir); dir != "" {
			c.CertsDir = dir
			break
		}
	}
}
