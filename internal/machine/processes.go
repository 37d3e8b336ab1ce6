package machine

import (
	"path"
	"slices"
	"strconv"
	"strings"
)

const (
	procFolder   = "/proc"
	statLimit    = 4 << 10  // bytes; proc(5): one line of some 50 numbers
	statusLimit  = 64 << 10 // bytes
	cmdlineLimit = 2 << 20  // bytes; the kernel's own limit is a quarter of the stack, 2 MiB by default
)

// A process is what /proc shows of one, beyond what others need to know.
type process struct {
	Process
	comm   string
	parent int
	nested bool // it has a number in a PID namespace beneath ours too: it is in a container
}

// dockerds are the running Docker engines by whose they are.
type dockerds struct {
	root []process // of this machine's root, by number
	snap []process // out of the snap package
	user []process // rootless ones of the user whose folders are meant
}

// lookDockerds finds every dockerd that belongs to this machine and not to a
// container on it. uid is the user's, 0 or less if there is none but root.
func lookDockerds(m Machine, o Options, uid int) dockerds {
	var d dockerds
	if o.Root != "" {
		return d
	}
	for _, p := range m.processes("dockerd") {
		if !isDockerd(p) {
			continue
		}
		kit := m.underRootlessKit(p)
		switch {
		case p.UID == uid && uid > 0:
			if kit || m.sameRoom(p) {
				d.user = append(d.user, p)
			}
		case p.UID != 0 || kit:
		case isSnap(p):
			// A snap has a mount namespace of its own, so this comes first.
			d.snap = append(d.snap, p)
		case m.sameRoom(p):
			d.root = append(d.root, p)
		}
	}
	return d
}

// processes are those whose name has the word in it, by number.
func (m Machine) processes(word string) []process {
	entries, err := m.ReadDir(procFolder)
	if err != nil {
		return nil
	}
	var found []process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid <= 0 {
			continue
		}
		if p, ok := m.process(pid); ok && strings.Contains(p.comm, word) {
			m.readProcess(&p)
			found = append(found, p)
		}
	}
	slices.SortFunc(found, func(a, b process) int { return a.PID - b.PID })
	return found
}

// process reads the line that is there for every process.
func (m Machine) process(pid int) (process, bool) {
	data, err := m.ReadFile(procPath(pid, "stat"), statLimit)
	if err != nil {
		return process{}, false
	}
	p, ok := parseStat(string(data))
	return p, ok && p.PID == pid
}

// parseStat reads /proc/PID/stat. The name in brackets may hold any byte,
// brackets too (proc(5)).
func parseStat(s string) (process, bool) {
	open, end := strings.IndexByte(s, '('), strings.LastIndexByte(s, ')')
	if open < 0 || end < open {
		return process{}, false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(s[:open]))
	f := strings.Fields(s[end+1:]) // from field 3 on
	if err != nil || len(f) < 20 || f[0] == "Z" {
		return process{}, false
	}
	parent, err := strconv.Atoi(f[1])
	if err != nil {
		return process{}, false
	}
	start, err := strconv.ParseUint(f[19], 10, 64)
	if err != nil {
		return process{}, false
	}
	return process{Process: Process{PID: pid, UID: -1, Start: start}, comm: s[open+1 : end], parent: parent}, true
}

// readProcess reads what only some need. Where something may not be read, it
// stays unknown: no UID is -1.
func (m Machine) readProcess(p *process) {
	p.Args = m.args(p.PID)
	if exe, err := m.ReadLink(procPath(p.PID, "exe")); err == nil {
		p.Exe = strings.TrimSuffix(exe, " (deleted)") // replaced on disk since it began
	}
	status, err := m.ReadFile(procPath(p.PID, "status"), statusLimit)
	if err != nil {
		return
	}
	for line := range strings.Lines(string(status)) {
		key, rest, _ := strings.Cut(line, ":")
		switch f := strings.Fields(rest); {
		case key == "Uid" && len(f) > 1 && f[0] == f[1]: // one who borrows rights is nobody's
			if uid, err := strconv.Atoi(f[1]); err == nil {
				p.UID = uid
			}
		case key == "NSpid":
			p.nested = len(f) > 1
		}
	}
}

func (m Machine) args(pid int) []string {
	data, err := m.ReadFile(procPath(pid, "cmdline"), cmdlineLimit)
	if err != nil || len(data) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(data), "\x00"), "\x00")
}

// isDockerd goes by the executable, and by argv where that may not be read.
func isDockerd(p process) bool {
	name := p.Exe
	if name == "" && len(p.Args) > 0 {
		name = p.Args[0]
	}
	base := path.Base(name)
	return len(p.Args) > 0 && (base == "dockerd" || base == "dockerd-current")
}

func isSnap(p process) bool {
	if p.Exe != "" {
		return strings.HasPrefix(p.Exe, "/snap/docker/")
	}
	return slices.ContainsFunc(p.Args, func(a string) bool {
		return strings.Contains(a, "/var/snap/docker/") || strings.HasPrefix(a, "/snap/docker/")
	})
}

// underRootlessKit looks at the parents: RootlessKit starts itself again as
// /proc/self/exe, and that one starts dockerd by a script.
func (m Machine) underRootlessKit(p process) bool {
	for range 3 {
		up, ok := m.process(p.parent)
		if !ok || up.PID <= 1 {
			return false
		}
		for _, a := range m.args(up.PID) {
			if base := path.Base(a); base == "rootlesskit" || base == "dockerd-rootless.sh" {
				return true
			}
		}
		p = up
	}
	return false
}

// sameRoom says that a process sees the files that we see. Links of other
// users' processes are for root alone; what cannot be compared counts as equal.
func (m Machine) sameRoom(p process) bool {
	for _, name := range []string{"ns/mnt", "root"} {
		own, err := m.ReadLink(procFolder + "/self/" + name)
		if err != nil {
			continue
		}
		if theirs, err := m.ReadLink(procPath(p.PID, name)); err == nil && theirs != own {
			return false
		}
	}
	return !p.nested
}

// service is the systemd unit that a process belongs to, by its control group;
// "" if that does not tell.
func (m Machine) service(pid int) string {
	data, err := m.ReadFile(procPath(pid, "cgroup"), statusLimit)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		if base := path.Base(strings.TrimSpace(line)); strings.HasSuffix(base, ".service") && validUnit(base) {
			return base
		}
	}
	return ""
}

func procPath(pid int, name string) string {
	return procFolder + "/" + strconv.Itoa(pid) + "/" + name
}

// userID is the number of the user whose engines are looked for, -1 for root's
// own alone: whoever chose HOME does not choose whose programs root believes.
func userID(o Options) int {
	switch {
	case o.Euid > 0:
		return o.Euid
	case o.UserID > 0:
		return o.UserID
	}
	return -1
}
