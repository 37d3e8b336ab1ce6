package machine

import (
	"fmt"
	"path"
	"strings"
)

// variants is what is known when other ways to run Docker are looked for.
type variants struct {
	m       Machine
	o       Options
	uid     int // of the user whose folders are meant; 0 or less if that is root, or not known
	running func() dockerds
}

// runtime is the folder of the user's sockets.
func (v variants) runtime() string {
	if dir := v.o.dir("XDG_RUNTIME_DIR"); dir != "" {
		return dir
	}
	if v.uid > 0 && v.o.Root == "" {
		return fmt.Sprintf("/run/user/%d", v.uid)
	}
	return ""
}

// userConfig is the folder of the user's settings, by os.UserConfigDir as
// dockerd asks it.
func (o Options) userConfig() string {
	own, _ := strings.CutSuffix(DirsOf(o).Config, "/vicr")
	return own
}

// lookForSnap: canonical/docker-snap maps /etc/docker to $SNAP_DATA/etc/docker
// (snap/snapcraft.yaml, "layout"); older releases read common/etc/certs.d.
func (d *Docker) lookForSnap(v variants) {
	seen := firstOf(v.m, "/snap/bin/docker", "/var/snap/docker")
	if seen == "" && len(v.running().snap) > 0 {
		seen = "process dockerd"
	}
	if seen == "" {
		return
	}
	const data = "/var/snap/docker/current"
	s := Variant{Kind: Snap, Evidence: seen, CertsDir: data + "/etc/docker/" + certsD, ConfigRestart: "snap restart docker.dockerd"}
	if also := "/var/snap/docker/common/etc/" + certsD; v.m.isDir(also) {
		s.AlsoCertsDir = also
	}
	s.Daemon.Systemd = v.m.hasSystemd()
	var args []string
	if len(v.running().snap) > 0 {
		p := v.running().snap[0].Process
		s.Daemon.Process, s.Daemon.Unit, args = &p, v.m.service(p.PID), p.Args[1:]
	}
	s.Daemon.setFlags(v.m, args, "/run/snap.docker/docker.pid", data+"/config/daemon.json")
	if strings.HasPrefix(s.Daemon.ConfigFile, "/var/snap/docker/") {
		// It is named by its revision there; current is a link to that, which
		// also holds after a refresh.
		s.Daemon.ConfigFile = data + "/config/daemon.json"
	}
	s.ConfigFile = s.Daemon.ConfigFile
	d.add(s)
}

// lookAtUser finds the engines that belong to the user or live in a machine of
// their own.
func (d *Docker) lookAtUser(v variants, s *signs) {
	if dir := v.runtime(); dir != "" {
		if socket := firstSocket(v.m, path.Join(dir, "docker.sock")); socket != "" && socket != s.socket {
			d.addRootless(v, "socket "+socket, socket)
		}
	}
	if len(v.running().user) > 0 {
		d.addRootless(v, "process dockerd", "")
	}
	if unit := within(linux, v.o.userConfig(), "systemd", "user", "docker.service"); unit != "" && v.m.exists(unit) {
		d.addRootless(v, "unit "+unit, "")
	}
	desktop := within(linux, v.o.Home, ".docker", "desktop", "docker.sock")
	if at := firstOf(v.m, "/mnt/wsl/docker-desktop", "/opt/docker-desktop"); at != "" {
		d.addDesktop(v, "folder "+at, desktop)
	} else if desktop != "" && firstSocket(v.m, desktop) != "" {
		d.addDesktop(v, "socket "+desktop, desktop)
	}
}

// lookAtHost judges the engine in use, the one that DockerHost names.
func (d *Docker) lookAtHost(v variants, s *signs) {
	scheme, address := splitHost(v.o.DockerHost)
	switch scheme {
	case "":
		return
	case "unix":
	default:
		d.Endpoint, d.Remote = remote(v.o.DockerHost)
		return
	}
	words := "the engine in use answers at " + address
	socket := firstSocket(v.m, address)
	inRun := strings.HasPrefix(address, "/run/user/") || strings.HasPrefix(address, "/var/run/user/")
	switch {
	case strings.Contains(address, "podman"):
		d.add(Variant{Kind: Podman, Evidence: words, Socket: socket, User: inRun})
	case inRun:
		d.addRootless(v, words, socket)
	case strings.Contains(address, "/.docker/desktop/"), strings.Contains(address, "/.docker/run/"):
		d.addDesktop(v, words, socket)
	case v.o.Home != "" && strings.HasPrefix(address, v.o.Home+"/"):
		d.add(Variant{Kind: Unknown, Evidence: words, Socket: socket, User: true})
	case socket != "":
		s.socket = address
	}
}

func (d *Docker) add(v Variant) {
	if !d.has(v.Kind) {
		d.Variants = append(d.Variants, v)
	}
}

func (d *Docker) addRootless(v variants, evidence, socket string) {
	d.Rootless = true
	if d.has(Rootless) {
		return
	}
	r := Variant{Kind: Rootless, Evidence: evidence, Socket: socket, User: true}
	if v.o.UserID > 0 { // how somebody else starts theirs is nothing for root to read
		d.add(r)
		return
	}
	if own := v.o.userConfig(); own != "" {
		r.CertsDir = own + "/docker/" + certsD // dockerd asks os.UserConfigDir, which follows XDG_CONFIG_HOME too
	}
	r.Daemon = v.rootlessDaemon()
	r.ConfigFile = r.Daemon.ConfigFile
	d.add(r)
}

// rootlessDaemon sees how the user's own dockerd is started. Its unit belongs
// to the user's systemd, whose properties are not asked for.
func (v variants) rootlessDaemon() Daemon {
	own, dir := v.o.userConfig(), v.runtime()
	var d Daemon
	var folders []string
	if own != "" {
		folders = append(folders, own+"/systemd/user")
	}
	folders = append(folders, "/etc/systemd/user", "/usr/lib/systemd/user", "/lib/systemd/user")
	u, found := v.m.unitFiles(folders, "docker.service")
	d.Systemd = dir != "" && v.m.isDir(dir+"/systemd") || v.m.hasSystemd()
	var p *process
	if len(v.running().user) > 0 {
		p = &v.running().user[0]
	}
	var args []string
	if found && d.Systemd {
		args = d.lookAtUnit(v.m, u, true, p)
	}
	d.Ignored = nil // nobody looks for these there
	if p != nil {
		running := p.Process
		d.Process, args = &running, p.Args[1:]
	}
	d.setFlags(v.m, args, within(linux, dir, "docker.pid"), within(linux, own, "docker", "daemon.json"))
	return d
}

// addDesktop: the settings lie in the user's home, and are copied into the
// virtual machine when it starts.
func (d *Docker) addDesktop(v variants, evidence, socket string) {
	home := func(elem ...string) string { return within(v.o.GOOS, v.o.Home, elem...) }
	restart := map[string]string{
		linux:   "systemctl --user restart docker-desktop",
		darwin:  `osascript -e 'quit app "Docker"' && open -a Docker`,
		windows: "quit Docker Desktop and start it again",
	}[v.o.GOOS]
	if strings.HasSuffix(evidence, "/mnt/wsl/docker-desktop") {
		restart = "quit Docker Desktop in Windows and start it again"
	}
	if socket != "" {
		socket = firstSocket(v.m, socket)
	}
	config := home(".docker", "daemon.json")
	d.add(Variant{
		Kind: Desktop, Evidence: evidence, CertsDir: home(".docker", certsD), ConfigFile: config,
		Socket: socket, User: true, Restart: restart, ConfigRestart: restart, Daemon: Daemon{ConfigFile: config},
	})
}

func (d *Docker) has(k Kind) bool {
	for _, v := range d.Variants {
		if v.Kind == k {
			return true
		}
	}
	return false
}
