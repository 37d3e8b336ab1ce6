package machine

import (
	"encoding/json"
	"fmt"
	"strings"
)

const (
	mostInstances = 256     // files of builders, or folders of clusters, that are looked at
	instanceLimit = 1 << 20 // bytes of one
)

// dockerConfig is the folder of docker's own settings.
func (m Machine) dockerConfig(o Options) string {
	if m.Root != "" {
		return ""
	}
	return first(o.dir("DOCKER_CONFIG"), within(o.GOOS, o.Home, ".docker"))
}

func lookBuildKit(m Machine, o Options) BuildKit {
	b := BuildKit{}
	var seen []string
	switch o.GOOS {
	case windows:
		b.ConfigFile = join(windows, first(o.dir("ProgramData"), `C:\ProgramData`), "buildkitd", "buildkitd.toml")
	case darwin: // buildkitd does not run there
	default:
		b.ConfigFile = "/etc/buildkit/buildkitd.toml"
		if m.isDir("/etc/buildkit") {
			seen = append(seen, "folder /etc/buildkit")
		}
	}
	if at := m.program(o, "buildkitd"); at != "" {
		seen = append(seen, "program "+at)
	}
	b.Standalone = len(seen) > 0
	if m.Root == "" {
		// docker/buildx util/confutil/config.go
		dir := first(o.dir("BUILDX_CONFIG"), within(o.GOOS, m.dockerConfig(o), "buildx"))
		b.UserConfig = within(o.GOOS, dir, "buildkitd.default.toml")
		b.Builders = m.builders(within(o.GOOS, dir, "instances"))
	}
	for _, builder := range b.Builders {
		seen = append(seen, fmt.Sprintf("builder %q", builder.Name))
	}
	b.Found, b.Evidence = len(seen) > 0, strings.Join(seen, ", ")
	return b
}

// builders are those of docker buildx whose driver is not dockerd itself.
func (m Machine) builders(dir string) []Builder {
	var out []Builder
	for _, name := range m.names(dir, false) {
		data, err := m.ReadFile(m.Join(dir, name), instanceLimit)
		if err != nil {
			continue
		}
		var b Builder
		if json.Unmarshal(data, &b) == nil && b.Driver != "" && b.Driver != "docker" {
			b.Name = first(b.Name, name)
			out = append(out, b)
		}
	}
	return out
}

// names are those of the folders in a folder, or of what is none, by name; not
// those with a dot in front.
func (m Machine) names(dir string, folders bool) []string {
	if dir == "" {
		return nil
	}
	entries, err := m.ReadDir(dir)
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range entries {
		if e.IsDir() == folders && !strings.HasPrefix(e.Name(), ".") && len(out) < mostInstances {
			out = append(out, e.Name())
		}
	}
	return out
}
