package machine

import (
	"io/fs"
	"net/netip"
	"net/url"
	"path"
	"strings"
)

// Where the Docker engine reads when it runs as root (moby
// daemon/pkg/registry/config.go; dockerd reference, "Daemon configuration file").
const (
	etcDocker = "/etc/docker"
	certsD    = "certs.d"
)

// binFolders are where distributions and Docker's own packages put programs.
func binFolders() []string {
	return []string{"/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/bin", "/sbin"}
}

func lookDocker(m Machine, o Options) Docker {
	switch o.GOOS {
	case windows:
		return lookDockerWindows(m, o)
	case darwin:
		return lookDockerDarwin(m, o)
	default:
		return lookDockerLinux(m, o)
	}
}

// signs are the things that a Docker engine leaves on a Linux machine, each by
// its path, "" if it is not there.
type signs struct {
	socket, folder, daemon, client string
}

func (s signs) words() string {
	var w []string
	for _, sign := range []struct{ kind, path string }{
		{"socket ", s.socket}, {"folder ", s.folder}, {"program ", s.daemon}, {"program ", s.client},
	} {
		if sign.path != "" {
			w = append(w, sign.kind+sign.path)
		}
	}
	return strings.Join(w, ", ")
}

func lookDockerLinux(m Machine, o Options) Docker {
	d := Docker{CertsDir: etcDocker + "/" + certsD, ConfigFile: etcDocker + "/daemon.json"}
	var s signs
	if m.isDir(etcDocker) {
		s.folder = etcDocker
	}
	s.daemon, s.client = m.program(o, "dockerd"), m.program(o, "docker")
	if snap := firstOf(m, "/snap/bin/docker", "/var/snap/docker"); snap != "" {
		// canonical/docker-snap snap/snapcraft.yaml, "layout"
		d.Variants = append(d.Variants, Variant{Kind: Snap, Evidence: snap, CertsDir: "/var/snap/docker/current/etc/docker/certs.d"})
		s.client = ""
	}
	if o.Root == "" {
		s.socket = firstSocket(m, "/var/run/docker.sock", "/run/docker.sock")
		d.lookAtUser(m, o, &s)
		d.lookAtHost(m, o, &s)
	}
	if d.has(Snap) || d.has(Desktop) {
		// Theirs are the program and, beneath WSL and with snap, the usual socket.
		d.Found = s.folder != "" || s.daemon != ""
		s.client = ""
	} else {
		d.Found = s.folder != "" || s.daemon != "" || s.client != "" || s.socket != ""
	}
	if d.has(Rootless) && s.folder == "" && s.socket == "" {
		// A rootless engine starts the same programs.
		d.Found = false
	}
	if d.Found {
		d.Evidence, d.Socket = s.words(), s.socket
	}
	return d
}

// lookAtUser finds the engines that belong to the user or live in a machine of
// their own.
func (d *Docker) lookAtUser(m Machine, o Options, s *signs) {
	if dir := o.dir("XDG_RUNTIME_DIR"); dir != "" {
		if socket := firstSocket(m, path.Join(dir, "docker.sock")); socket != "" && socket != s.socket {
			d.addRootless(o, "socket "+socket)
		}
	}
	if at := firstOf(m, "/mnt/wsl/docker-desktop", "/opt/docker-desktop"); at != "" {
		d.addDesktop(o, "folder "+at)
	} else if o.Home != "" {
		if socket := firstSocket(m, o.Home+"/.docker/desktop/docker.sock"); socket != "" {
			d.addDesktop(o, "socket "+socket)
		}
	}
}

// lookAtHost judges the engine in use, the one that DockerHost names.
func (d *Docker) lookAtHost(m Machine, o Options, s *signs) {
	scheme, address := splitHost(o.DockerHost)
	switch scheme {
	case "":
		return
	case "unix":
	default:
		d.Endpoint, d.Remote = remote(o.DockerHost)
		return
	}
	words := "the engine in use answers at " + address
	switch {
	case strings.Contains(address, "podman"):
		d.add(Variant{Kind: Podman, Evidence: words})
	case strings.HasPrefix(address, "/run/user/"), strings.HasPrefix(address, "/var/run/user/"):
		d.addRootless(o, words)
	case strings.Contains(address, "/.docker/desktop/"), strings.Contains(address, "/.docker/run/"):
		d.addDesktop(o, words)
	case o.Home != "" && strings.HasPrefix(address, o.Home+"/"):
		d.add(Variant{Kind: Unknown, Evidence: words})
	case firstSocket(m, address) != "":
		s.socket = address
	}
}

func (d *Docker) add(v Variant) {
	if !d.has(v.Kind) {
		d.Variants = append(d.Variants, v)
	}
}

func (d *Docker) addRootless(o Options, evidence string) {
	d.Rootless = true
	v := Variant{Kind: Rootless, Evidence: evidence}
	if own, ok := strings.CutSuffix(DirsOf(o).Config, "/vicr"); ok {
		v.CertsDir = own + "/docker/" + certsD // dockerd asks os.UserConfigDir, which follows XDG_CONFIG_HOME too
	}
	d.add(v)
}

func (d *Docker) addDesktop(o Options, evidence string) {
	d.add(Variant{Kind: Desktop, Evidence: evidence, CertsDir: within(o.GOOS, o.Home, ".docker", certsD)})
}

func (d *Docker) has(k Kind) bool {
	for _, v := range d.Variants {
		if v.Kind == k {
			return true
		}
	}
	return false
}

// lookDockerDarwin: every engine on macOS runs in a virtual machine; Docker
// Desktop copies ~/.docker/certs.d into it when it starts (docker/docs,
// desktop/troubleshoot-and-support/faqs/macfaqs.md).
func lookDockerDarwin(m Machine, o Options) Docker {
	d := Docker{CertsDir: within(o.GOOS, o.Home, ".docker", certsD), ConfigFile: within(o.GOOS, o.Home, ".docker", "daemon.json")}
	if o.Root != "" {
		return Docker{}
	}
	if app := firstOf(m, "/Applications/Docker.app"); app != "" {
		d.addDesktop(o, app)
	} else if program := m.program(o, "docker"); program != "" {
		d.add(Variant{Kind: Unknown, Evidence: "program " + program})
	}
	d.lookAtHost(m, o, &signs{})
	return d
}

// lookDockerWindows: the engine for Windows containers reads beneath
// ProgramData (moby daemon/pkg/registry/config.go); Docker Desktop does not.
func lookDockerWindows(m Machine, o Options) Docker {
	data := first(o.dir("ProgramData"), `C:\ProgramData`)
	d := Docker{
		CertsDir:   join(windows, data, "docker", certsD),
		ConfigFile: join(windows, data, "docker", "config", "daemon.json"),
	}
	if o.Root != "" {
		return Docker{}
	}
	programs := first(o.dir("ProgramFiles"), `C:\Program Files`)
	if app := firstOf(m, join(windows, programs, "Docker", "Docker", "Docker Desktop.exe")); app != "" {
		d.addDesktop(o, app)
	} else if dockerd := firstOf(m, join(windows, programs, "Docker", "dockerd.exe")); dockerd != "" {
		d.Found, d.Evidence = true, "program "+dockerd
	} else if program := m.program(o, "docker"); program != "" {
		d.add(Variant{Kind: Unknown, Evidence: "program " + program})
	}
	d.lookAtHost(m, o, &signs{})
	return d
}

// splitHost reads a DOCKER_HOST value; a value without a scheme means tcp
// (docker/cli opts/hosts.go).
func splitHost(s string) (scheme, rest string) {
	if s == "" {
		return "", ""
	}
	if scheme, rest, ok := strings.Cut(s, "://"); ok {
		return strings.ToLower(scheme), rest
	}
	return "tcp", s
}

// remote says whether an engine that is reached over tcp, ssh or a named pipe
// is on another machine, and where, without user name and password.
func remote(host string) (endpoint string, away bool) {
	scheme, rest := splitHost(host)
	if scheme == "npipe" {
		if server, _, _ := strings.Cut(strings.TrimLeft(strings.ReplaceAll(rest, `\`, "/"), "/"), "/"); server != "." {
			return "npipe://" + server, true
		}
		return "", false
	}
	u, err := url.Parse(scheme + "://" + rest)
	if err != nil || u.Hostname() == "" {
		return "", true
	}
	if name := u.Hostname(); name == "localhost" {
		return "", false
	} else if ip, err := netip.ParseAddr(name); err == nil && ip.IsLoopback() {
		return "", false
	}
	return scheme + "://" + u.Host, true
}

// RemoteName is the name of the machine that Endpoint is on, "" if it cannot be read.
func (d Docker) RemoteName() string {
	u, err := url.Parse(d.Endpoint)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

func (m Machine) isDir(p string) bool {
	info, err := m.Stat(p)
	return err == nil && info.IsDir()
}

// program finds a program in its usual places, then in PATH. What the PATH has
// beneath /snap is not counted: it is seen as a [Snap].
func (m Machine) program(o Options, name string) string {
	if o.GOOS != windows {
		for _, dir := range binFolders() {
			if info, err := m.Stat(dir + "/" + name); err == nil && info.Mode().IsRegular() {
				return dir + "/" + name
			}
		}
	}
	if p, err := o.LookPath(name); err == nil && !strings.HasPrefix(p, "/snap/") {
		return p
	}
	return ""
}

func firstOf(m Machine, paths ...string) string {
	for _, p := range paths {
		if _, err := m.Stat(p); err == nil {
			return p
		}
	}
	return ""
}

func firstSocket(m Machine, paths ...string) string {
	for _, p := range paths {
		if info, err := m.Stat(p); err == nil && info.Mode()&fs.ModeSocket != 0 {
			return p
		}
	}
	return ""
}
