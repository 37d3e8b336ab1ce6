package machine

import (
	"encoding/json"
	"path"
	"slices"
	"strconv"
	"strings"
)

// dockerPID is where dockerd writes its number when it runs as root (moby
// daemon/command/daemon_unix.go).
const dockerPID = "/var/run/docker.pid"

// lookDaemon sees how the engine that runs as root is started. p is its
// process, nil if none runs.
func lookDaemon(m Machine, o Options, p *process) Daemon {
	d := Daemon{Systemd: m.hasSystemd()}
	var start []string // the argv of the next start, without the program
	if d.Systemd {
		name := "docker.service"
		if p != nil {
			name = first(m.service(p.PID), name)
		}
		u, ok := m.unit(o, name)
		start = d.lookAtUnit(m, u, ok, p)
	} else {
		start = d.lookAtScripts(m)
	}
	if p != nil {
		running := p.Process
		d.Process, start = &running, p.Args[1:]
	}
	d.setFlags(m, start, dockerPID, etcDocker+"/daemon.json")
	return d
}

// setFlags takes over what argv says, or else the defaults.
func (d *Daemon) setFlags(m Machine, args []string, pidfile, config string) {
	f := parseFlags(args)
	d.PIDFile, d.ConfigFile, d.InsecureFlags = pidfile, config, f.insecure
	if f.pidfile != "" {
		d.PIDFile = d.resolve(m, f.pidfile)
	}
	if f.config != "" {
		d.ConfigFile, d.Explicit = d.resolve(m, f.config), true
	}
}

// resolve makes a path absolute, from the folder that the process is in.
func (d *Daemon) resolve(m Machine, p string) string {
	if p = strings.TrimSpace(p); path.IsAbs(p) || p == "" {
		return tidy(linux, p)
	}
	if d.Process == nil {
		return ""
	}
	dir, err := m.ReadLink(procPath(d.Process.PID, "cwd"))
	if err != nil {
		return ""
	}
	return tidy(linux, dir+"/"+p)
}

// lookAtUnit sees the systemd unit, and returns the words that it starts
// dockerd with.
func (d *Daemon) lookAtUnit(m Machine, u unit, ok bool, p *process) []string {
	if !ok || !strings.Contains(u.command(), "docker") || p != nil && !u.started(*p) {
		why := "no systemd unit that is here reads it"
		if ok {
			why = "this dockerd is not started by " + u.name
		}
		d.ignore(m, nil, func(string, string) string { return why })
		return nil
	}
	d.Unit, d.NeedsReload = u.name, u.reload
	used := variables(u.command())
	for _, c := range candidates() {
		for _, v := range c.variables {
			if u.reads(c.path) && slices.Contains(used, v) {
				d.FlagFiles = append(d.FlagFiles, FlagFile{
					Path: c.path, Variable: v, Missing: !m.exists(c.path),
					Why: u.name + " reads it, and its ExecStart uses $" + v,
				})
			}
		}
	}
	d.otherFiles(m, u, used)
	d.unitsOwn(u, used)
	d.ignore(m, d.FlagFiles, func(file, v string) string {
		if u.reads(file) {
			return u.name + " reads it, but its ExecStart does not use $" + v
		}
		return u.name + " does not read it"
	})
	return u.words(m)
}

// otherFiles adds files that only this machine's unit names, when they have the flag.
func (d *Daemon) otherFiles(m Machine, u unit, used []string) {
	known := candidates()
	for _, f := range u.envFiles {
		if slices.ContainsFunc(known, func(c candidate) bool { return c.path == f }) {
			continue
		}
		data, err := m.ReadFile(f, unitLimit)
		if err != nil {
			continue
		}
		for _, v := range used {
			if value, ok := assigned(data, v); ok && hasFlag(value) {
				d.FlagFiles = append(d.FlagFiles, FlagFile{Path: f, Variable: v, Why: u.name + " reads it, and its ExecStart uses $" + v})
			}
		}
	}
}

// unitsOwn adds the unit file or drop-in that has the flag itself.
func (d *Daemon) unitsOwn(u unit, used []string) {
	if hasFlag(u.command()) {
		d.FlagFiles = append(d.FlagFiles, FlagFile{Path: first(u.execFrom, u.fragment), Why: "its ExecStart has --insecure-registry"})
	}
	for _, e := range u.env {
		if hasFlag(e.value) && slices.Contains(used, e.name) {
			d.FlagFiles = append(d.FlagFiles, FlagFile{Path: e.from, Why: "its Environment has --insecure-registry in " + e.name})
		}
	}
}

func hasFlag(s string) bool { return strings.Contains(s, "--insecure-registry") }

// started says that a process is the one that the unit started, or beneath its shell.
func (u unit) started(p process) bool {
	return u.mainPID < 0 || u.mainPID == p.PID || u.mainPID == p.parent && u.mainPID > 0
}

// words are those that the unit starts dockerd with, without the program.
func (u unit) words(m Machine) []string {
	values := map[string]string{}
	for _, e := range u.env {
		values[e.name] = e.value
	}
	var files [][]byte
	for _, f := range u.envFiles {
		if data, err := m.ReadFile(f, unitLimit); err == nil {
			files = append(files, data)
		}
	}
	value := func(name string) string {
		v := values[name]
		for _, data := range files {
			if theirs, ok := assigned(data, name); ok {
				v = theirs
			}
		}
		return v
	}
	for _, line := range u.exec {
		if args := unwrap(words(line)); len(args) > 0 && strings.Contains(line, "docker") {
			return expand(args[1:], value)
		}
	}
	return nil
}

// A candidate is a file of variables that some package of Docker brings.
type candidate struct {
	path      string
	variables []string // the better place for --insecure-registry first
}

// candidates are Debian's and Ubuntu's, then that of RHEL, Fedora and Amazon
// Linux, then that of OpenRC (moby contrib/init).
func candidates() []candidate {
	return []candidate{
		{"/etc/default/docker", []string{"DOCKER_OPTS"}},
		{"/etc/sysconfig/docker", []string{"INSECURE_REGISTRY", "OPTIONS", "other_args"}},
		{"/etc/conf.d/docker", []string{"DOCKER_OPTS"}},
	}
}

// ignore notes the files that are there and do not count, once for each
// variable that they set, at least once.
func (d *Daemon) ignore(m Machine, honoured []FlagFile, why func(file, variable string) string) {
	for _, c := range candidates() {
		data, err := m.ReadFile(c.path, unitLimit)
		if err != nil {
			continue
		}
		counts := func(v string) bool {
			return slices.ContainsFunc(honoured, func(f FlagFile) bool { return f.Path == c.path && (v == "" || f.Variable == v) })
		}
		n := len(d.Ignored)
		for _, v := range c.variables {
			if _, set := assigned(data, v); set && !counts(v) {
				d.Ignored = append(d.Ignored, FlagFile{Path: c.path, Variable: v, Why: why(c.path, v)})
			}
		}
		if n == len(d.Ignored) && !counts("") {
			d.Ignored = append(d.Ignored, FlagFile{Path: c.path, Variable: c.variables[0], Why: why(c.path, c.variables[0])})
		}
	}
}

// lookAtScripts sees what starts dockerd where systemd does not: upstart,
// System V scripts, OpenRC. It returns the flags that the files give.
func (d *Daemon) lookAtScripts(m Machine) []string {
	scripts := map[string]string{}
	names := []string{"/etc/init/docker.conf", "/etc/init.d/docker"}
	for _, p := range names {
		if data, err := m.ReadFile(p, unitLimit); err == nil {
			scripts[p] = strings.Join(joined(string(data)), "\n")
			line, _, _ := strings.Cut(string(data), "\n")
			if strings.Contains(line, "openrc-run") || strings.HasSuffix(line, "/runscript") {
				scripts[p] += "\n/etc/conf.d/" // OpenRC sources it by itself
			}
		}
	}
	var args []string
	for _, c := range candidates() {
		data, err := m.ReadFile(c.path, unitLimit)
		for _, v := range c.variables {
			for _, p := range names {
				if s := scripts[p]; !strings.Contains(s, path.Dir(c.path)+"/") || !slices.Contains(variables(s), v) {
					continue
				}
				d.FlagFiles = append(d.FlagFiles, FlagFile{Path: c.path, Variable: v, Missing: err != nil, Why: p + " reads it, and uses $" + v})
				value, _ := assigned(data, v)
				args = append(args, words(value)...)
				break
			}
		}
	}
	d.ignore(m, d.FlagFiles, func(_, v string) string {
		for _, p := range names {
			if scripts[p] != "" {
				return p + " does not use $" + v + " of it"
			}
		}
		return "nothing that is here starts Docker with it"
	})
	return args
}

// engineAt picks the dockerd that answers at a socket, "" for the usual one,
// out of several; nil if none does.
func engineAt(m Machine, running []process, socket string) *process {
	var best *process
	most := -1
	for i := range running {
		if n := m.listens(running[i], socket); n > most {
			best, most = &running[i], n
		}
	}
	return best
}

// listens is the higher the surer it is that a dockerd answers at a socket;
// below 0 it does not.
func (m Machine) listens(p process, socket string) int {
	d := Daemon{Process: &p.Process}
	d.setFlags(m, p.Args[1:], dockerPID, etcDocker+"/daemon.json")
	n := 0
	if data, err := m.ReadFile(d.PIDFile, 64); err == nil && strings.TrimSpace(string(data)) == strconv.Itoa(p.PID) {
		n++
		if sameSocket(d.PIDFile, dockerPID) {
			n++
		}
	}
	const usual = "/var/run/docker.sock"
	hosts := parseFlags(p.Args[1:]).hosts
	if len(hosts) == 0 {
		hosts = m.configuredHosts(d.ConfigFile)
	}
	if len(hosts) == 0 {
		hosts = []string{"unix://" + usual}
	}
	other := false
	for _, h := range hosts {
		scheme, at, _ := strings.Cut(h, "://")
		other = other || scheme == "unix"
		switch {
		case scheme == "fd":
			if sameSocket(first(socket, usual), usual) {
				return n + 4
			}
			return n // docker.socket says where, perhaps there
		case scheme == "unix" && sameSocket(first(at, usual), first(socket, usual)):
			return n + 4
		}
	}
	if socket != "" || other {
		return -1
	}
	return n // by TCP alone
}

// configuredHosts are those of daemon.json.
func (m Machine) configuredHosts(file string) []string {
	data, err := m.ReadFile(file, 1<<20)
	if err != nil {
		return nil
	}
	var c struct {
		Hosts []string `json:"hosts"`
	}
	if json.Unmarshal(data, &c) != nil {
		return nil
	}
	return c.Hosts
}

// sameSocket compares paths: /var/run is /run.
func sameSocket(a, b string) bool {
	return strings.TrimPrefix(path.Clean(a), "/var") == strings.TrimPrefix(path.Clean(b), "/var")
}
