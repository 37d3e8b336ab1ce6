package machine

import "strings"

func lookPodman(m Machine, o Options) PodmanFamily {
	p := PodmanFamily{Programs: map[string]string{}}
	if o.GOOS != windows && o.GOOS != darwin {
		p.CertsDir, p.ConfDir = "/etc/containers/"+certsD, "/etc/containers/registries.conf.d"
	}
	if m.Root == "" {
		// containers/image asks HOME, not XDG_CONFIG_HOME.
		own := within(o.GOOS, o.Home, ".config", "containers")
		p.UserCerts, p.UserConf = within(o.GOOS, own, certsD), within(o.GOOS, own, "registries.conf.d")
		p.UserOnly = own != "" && m.exists(within(o.GOOS, own, "registries.conf"))
	}
	var seen []string
	for _, name := range []string{"podman", "buildah", "skopeo", "crio"} {
		if at := m.program(o, name); at != "" {
			p.Programs[name] = at
			seen = append(seen, "program "+at)
		}
	}
	p.Found, p.Evidence = len(seen) > 0, strings.Join(seen, ", ")
	p.Machine = (o.GOOS == darwin || o.GOOS == windows) && p.Programs["podman"] != ""
	return p
}
