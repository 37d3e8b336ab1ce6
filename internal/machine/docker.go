package machine

import (
	"io/fs"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Where the Docker engine reads when it runs as root (moby
// daemon/pkg/registry/config.go; dockerd reference, "Daemon configuration file").
const (
	etcDocker = "/etc/docker"
	certsD    = "certs.d"
)

// usualSockets are where the engine that runs as root answers on Linux.
func usualSockets() []string { return []string{"/var/run/docker.sock", "/run/docker.sock"} }

// binFolders are where distributions, Docker's own packages and Homebrew put programs.
func binFolders(goos string) []string {
	dirs := []string{"/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/bin", "/sbin"}
	if goos == darwin {
		dirs = append(dirs, "/opt/homebrew/bin", "/opt/podman/bin")
	}
	return dirs
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
	socket, folder, daemon, client, process string
}

func (s signs) words() string {
	var w []string
	for _, sign := range []struct{ kind, path string }{
		{"socket ", s.socket}, {"folder ", s.folder}, {"program ", s.daemon}, {"program ", s.client}, {"process ", s.process},
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
	v := variants{m: m, o: o, uid: userID(o)}
	running := lookDockerds(m, o, v.uid)
	v.running = func() dockerds { return running }
	s.daemon, s.client = m.program(o, "dockerd"), m.program(o, "docker")
	d.lookForSnap(v)
	var root *process
	if o.Root == "" {
		s.socket = firstSocket(m, usualSockets()...)
		d.lookAtUser(v, &s)
		d.lookAtHost(v, &s)
		if root = engineAt(m, running.root, s.socket); root != nil {
			s.process = "dockerd"
		}
	}
	if d.has(Snap) || d.has(Desktop) {
		// Theirs are the program and, beneath WSL and with snap, the usual socket.
		d.Found = s.folder != "" || s.daemon != "" || root != nil
		s.client = ""
	} else {
		d.Found = s != signs{}
	}
	if d.has(Rootless) && s.folder == "" && s.socket == "" && root == nil {
		// A rootless engine starts the same programs.
		d.Found = false
	}
	if d.Found {
		d.Evidence, d.Socket = s.words(), s.socket
	} else {
		d.socketOf(Snap, s.socket)
	}
	d.Daemon = lookDaemon(m, o, root)
	d.ConfigFile = d.Daemon.ConfigFile
	d.leaveToUser(o)
	return d
}

// leaveToUser drops what is the user's who called sudo: root leaves it to them.
func (d *Docker) leaveToUser(o Options) {
	if o.UserID > 0 {
		d.Variants = slices.DeleteFunc(d.Variants, func(v Variant) bool { return v.User })
	}
}

// socketOf gives the usual socket to the engine that must be behind it.
func (d *Docker) socketOf(k Kind, socket string) {
	for i := range d.Variants {
		if d.Variants[i].Kind == k && d.Variants[i].Socket == "" {
			d.Variants[i].Socket = socket
		}
	}
}

// lookDockerDarwin: every engine on macOS runs in a virtual machine; Docker
// Desktop copies ~/.docker/certs.d into it when it starts (docker/docs,
// desktop/troubleshoot-and-support/faqs/macfaqs.md).
func lookDockerDarwin(m Machine, o Options) Docker {
	d := Docker{CertsDir: within(o.GOOS, o.Home, ".docker", certsD), ConfigFile: within(o.GOOS, o.Home, ".docker", "daemon.json")}
	if o.Root != "" {
		return Docker{}
	}
	v := variants{m: m, o: o}
	if app := firstOf(m, "/Applications/Docker.app"); app != "" {
		d.addDesktop(v, app, within(o.GOOS, o.Home, ".docker", "run", "docker.sock"))
	} else if program := m.program(o, "docker"); program != "" {
		d.add(Variant{Kind: Unknown, Evidence: "program " + program})
	}
	d.lookAtHost(v, &signs{})
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
	d.Daemon = Daemon{ConfigFile: d.ConfigFile}
	v := variants{m: m, o: o}
	programs := first(o.dir("ProgramFiles"), `C:\Program Files`)
	if app := firstOf(m, join(windows, programs, "Docker", "Docker", "Docker Desktop.exe")); app != "" {
		d.addDesktop(v, app, "")
	} else if dockerd := firstOf(m, join(windows, programs, "Docker", "dockerd.exe")); dockerd != "" {
		d.Found, d.Evidence = true, "program "+dockerd
	} else if program := m.program(o, "docker"); program != "" {
		d.add(Variant{Kind: Unknown, Evidence: "program " + program})
	}
	d.lookAtHost(v, &signs{})
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
	if scheme == "ssh" { // also to this machine's own address, where a tunnel may begin
		return scheme + "://" + u.Host, true
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
		for _, dir := range binFolders(o.GOOS) {
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
