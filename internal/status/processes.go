package status

import (
	"bytes"
	"cmp"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/trust"
)

const (
	ticks = 100 // a second, as /proc counts on every architecture (proc(5), time(7) USER_HZ)
	// slack is how far apart the clock and a start that is told in whole
	// seconds since boot may be.
	slack = 2 * time.Second

	procLimit  = 256 << 10 // bytes of one file below /proc
	statsLimit = 4 << 20   // bytes of /proc/stat, which has a line for each interrupt
	commLength = 15        // bytes of a name in /proc/PID/stat (proc(5), TASK_COMM_LEN)
)

// restart finds out whether what had to be restarted was.
func (c *checker) restart(r *registry, e change.Entry, rec change.Record) {
	command := restartOf(rec)
	var pending, known bool
	f := Finding{Kind: KindRestart, Remedy: command}
	switch {
	case rec.Tool == string(trust.ToolSystem):
		pending, known = c.notInBundle(rec)
		f.Text = "the system's bundle of CAs does not hold it"
		f.Remedy = cmp.Or(command, strings.Join(c.m.System.Update, " "))
	case command == "" || c.m.Root != "": // nothing runs in a tree
		return
	default:
		pending, known = c.runsSince(rec, command, c.written(e, rec))
		f.Text = rec.Tool + " reads it when it starts, and was not restarted since"
	}
	switch {
	case known && !pending, f.Remedy == "":
		return
	case !known && command == "":
		return
	case !known:
		f.Kind, f.Text = KindRestarted, rec.Tool+": pending, unless it was restarted since"
	}
	r.tool(rec.Tool).Restart = f.Remedy
	if !slices.ContainsFunc(r.Findings, func(g Finding) bool { return g.Kind == f.Kind && g.Remedy == f.Remedy }) {
		r.add(rec.Tool, f) // one restart for all files
	}
}

// written is when a file became what it is. The entry has the time of its last
// change, which may have been of another file.
func (c *checker) written(e change.Entry, rec change.Record) time.Time {
	if info, err := c.m.Stat(rec.Path); err == nil && !info.ModTime().IsZero() && info.ModTime().Before(e.Time) {
		return info.ModTime()
	}
	return e.Time
}

// notInBundle says whether the file that programs read lacks a CA that was put
// where the file is made of.
func (c *checker) notInBundle(rec change.Record) (lacks, known bool) {
	ca, err := c.m.ReadFile(rec.Path, maxCAFile)
	if err != nil || c.m.System.Bundle == "" {
		return false, false
	}
	bundle, err := c.m.ReadFile(c.m.System.Bundle, maxFile)
	return !bytes.Contains(bundle, bytes.TrimSpace(ca)), err == nil
}

// runsSince says whether a process that a command would restart began before a
// time; one that does not run has nothing old in it.
func (c *checker) runsSince(rec change.Record, command string, at time.Time) (pending, known bool) {
	if c.processes == nil {
		p := look(c.m)
		c.processes = &p
	}
	p := *c.processes
	names := programs(rec, command)
	if !p.known || len(names) == 0 { // or it is no process that has to be told
		return false, false
	}
	old := func(start uint64) bool {
		begun := p.boot.Add(time.Duration(start) * time.Second / ticks) //nolint:gosec // centuries of ticks
		return begun.Add(slack).Before(at)
	}
	if slices.Contains(names, "dockerd") {
		if d := c.daemonOf(rec.Path); d.Process != nil {
			return old(d.Process.Start), true
		}
		return false, true
	}
	for _, one := range p.all {
		if slices.ContainsFunc(names, one.is) && old(one.start) {
			return true, true
		}
	}
	return false, true
}

// daemonOf is the dockerd that reads a file: a variant where the file is its own.
func (c *checker) daemonOf(path string) machine.Daemon {
	for _, v := range c.m.Docker.Variants {
		if in(path, v.CertsDir) || in(path, v.AlsoCertsDir) || path == v.ConfigFile {
			return v.Daemon
		}
	}
	return c.m.Docker.Daemon
}

// programs are the base names of what a command restarts, else of what the
// record's tool runs as.
func programs(rec change.Record, command string) []string {
	var names []string
	for word := range strings.FieldsSeq(command) {
		word = strings.TrimSuffix(path.Base(word), ".service")
		switch {
		case word == "docker" || word == "dockerd" || strings.HasPrefix(word, "docker.dockerd"):
			names = append(names, "dockerd")
		case word == "containerd", word == "crio", word == "buildkitd":
			names = append(names, word)
		case word == "buildkit":
			names = append(names, "buildkitd")
		case word == "k3s" || strings.HasPrefix(word, "k3s-"):
			names = append(names, "k3s")
		case strings.HasPrefix(word, "rke2"):
			names = append(names, "rke2")
		}
	}
	if strings.Contains(strings.ToLower(command), "desktop") {
		return []string{"com.docker.backend"}
	}
	if len(names) > 0 {
		return names
	}
	return map[string][]string{"containerd": {"containerd"}, "buildkit": {"buildkitd"}, "docker": {"dockerd"}}[rec.Tool]
}

// processes are those of the machine.
type processes struct {
	known bool // all can be seen, and when they began
	boot  time.Time
	all   []process
}

type process struct {
	name  string // as far as it may be read: of the executable, of argv, or cut to 15 bytes
	cut   bool
	start uint64 // clock ticks after boot
}

func (p process) is(name string) bool {
	return p.name == name || p.cut && (p.name == name[:min(len(name), commLength)] || strings.HasPrefix(p.name, name+"-"))
}

// look lists the processes, but for those in containers.
func look(m machine.Machine) processes {
	if m.GOOS == "windows" || m.GOOS == "darwin" {
		return processes{}
	}
	boot, ok := booted(m)
	entries, err := m.ReadDir("/proc")
	if !ok || err != nil {
		return processes{}
	}
	if _, err := m.ReadFile("/proc/1/stat", procLimit); err != nil {
		return processes{} // those of other users are hidden
	}
	out := processes{known: true, boot: boot}
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && pid > 0 {
			if p, ok := read(m, "/proc/"+e.Name()); ok {
				out.all = append(out.all, p)
			}
		}
	}
	return out
}

// booted is when the machine was (proc(5), /proc/stat, btime).
func booted(m machine.Machine) (time.Time, bool) {
	data, err := m.ReadFile("/proc/stat", statsLimit)
	if err != nil {
		return time.Time{}, false
	}
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(line, "btime "); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			return time.Unix(n, 0), err == nil
		}
	}
	return time.Time{}, false
}

// read reads one process of interest. One in a container has a number in a
// namespace beneath ours too, and one that another tool keeps for itself is
// not restarted by anybody.
func read(m machine.Machine, dir string) (process, bool) {
	data, err := m.ReadFile(dir+"/stat", procLimit)
	if err != nil {
		return process{}, false
	}
	line := string(data)
	open, end := strings.IndexByte(line, '('), strings.LastIndexByte(line, ')')
	if open < 0 || end < open {
		return process{}, false
	}
	p := process{name: line[open+1 : end], cut: true}
	f := strings.Fields(line[end+1:]) // from field 3 on; the start is field 22
	if len(f) < 20 || f[0] == "Z" || !ofInterest(p.name) || nested(m, dir) {
		return process{}, false
	}
	if p.start, err = strconv.ParseUint(f[19], 10, 64); err != nil {
		return process{}, false
	}
	args, _ := m.ReadFile(dir+"/cmdline", procLimit) // "" where it may not be read
	exe, err := m.ReadLink(dir + "/exe")
	switch first := strings.Fields(strings.SplitN(string(args), "\x00", 2)[0] + " "); {
	case err == nil:
		p.name, p.cut = path.Base(strings.TrimSuffix(exe, " (deleted)")), false
	case errors.Is(err, fs.ErrPermission) && len(first) > 0:
		exe = first[0]
		p.name, p.cut = path.Base(exe), false
	}
	// dockerd and k3s have a containerd of their own.
	own := p.name == "containerd" && (strings.Contains(string(args), "/docker/containerd") || strings.Contains(exe+string(args), "/rancher/"))
	return p, !own
}

func ofInterest(comm string) bool {
	for _, name := range []string{"containerd", "crio", "buildkitd", "k3s", "rke2", "com.docker.back"} {
		if strings.HasPrefix(comm, name) {
			return true
		}
	}
	return false
}

func nested(m machine.Machine, dir string) bool {
	status, err := m.ReadFile(dir+"/status", procLimit)
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "NSpid:"); ok {
			return len(strings.Fields(rest)) > 1
		}
	}
	return false
}
