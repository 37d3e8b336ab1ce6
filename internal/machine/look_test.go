package machine_test

import (
	"io/fs"
	"maps"
	"strconv"
	"strings"
	"testing/fstest"

	"github.com/vicr-cli/vicr/internal/machine"
)

// files makes a file system out of paths and what is in them; "-> PATH" is a
// symbolic link, "" a folder, "socket" a socket.
func files(content map[string]string) fstest.MapFS {
	m := fstest.MapFS{}
	for p, data := range content {
		f := &fstest.MapFile{Mode: 0o755, Data: []byte(data)}
		if to, ok := strings.CutPrefix(data, "-> "); ok {
			f.Mode, f.Data = fs.ModeSymlink|0o777, []byte(to)
		} else if data == "" {
			f.Mode = fs.ModeDir | 0o755
		} else if data == "socket" {
			f.Mode, f.Data = fs.ModeSocket|0o660, nil
		}
		m[machine.Name(p)] = f
	}
	return m
}

// running is one process, as files of /proc.
type running struct {
	pid, parent, uid int
	borrowed         int    // how far the one who started it is from uid, of whose rights it has
	exe, mnt, cgroup string // "": may not be read
	nested           bool
	args             []string
}

func (r running) files() map[string]string {
	dir := "/proc/" + strconv.Itoa(r.pid)
	comm := r.args[0][strings.LastIndexByte(r.args[0], '/')+1:]
	status := "Name:\t" + comm + "\nUid:\t" + strconv.Itoa(r.uid+r.borrowed) + "\t" + strconv.Itoa(r.uid) + "\t0\t0\nNSpid:\t" + strconv.Itoa(r.pid)
	if r.nested {
		status += "\t1"
	}
	m := map[string]string{
		dir + "/stat": strconv.Itoa(r.pid) + " (" + comm + ") S " + strconv.Itoa(r.parent) +
			" 1 1 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 9 0 " + strconv.Itoa(1000+r.pid) + " 1 1 1\n",
		dir + "/cmdline": strings.Join(r.args, "\x00") + "\x00",
		dir + "/status":  status + "\n",
	}
	for name, to := range map[string]string{"exe": r.exe, "ns/mnt": r.mnt} {
		if to != "" {
			m[dir+"/"+name] = "-> " + to
		}
	}
	if r.cgroup != "" {
		m[dir+"/cgroup"] = r.cgroup
	}
	return m
}

// live is a machine on which systemd and these processes run.
func live(content map[string]string, processes ...running) fstest.MapFS {
	all := map[string]string{"/run/systemd/system": "", "/proc/self/ns/mnt": "-> mnt:[1]"}
	maps.Copy(all, content)
	for _, r := range processes {
		maps.Copy(all, r.files())
	}
	return files(all)
}

func dockerd(pid int, args ...string) running {
	return running{pid: pid, parent: 1, exe: "/usr/bin/dockerd", mnt: "mnt:[1]", args: append([]string{"/usr/bin/dockerd"}, args...)}
}
