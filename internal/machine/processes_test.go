package machine_test

import (
	"slices"
	"testing"

	"github.com/vicr-cli/vicr/internal/machine"
)

func TestRunningEngineIsTheOneOfThisMachine(t *testing.T) {
	t.Parallel()
	with := func(r running, change func(*running)) running {
		change(&r)
		return r
	}
	for name, tt := range map[string]struct {
		processes []running
		content   map[string]string
		host      string
		pid       int // 0: none
	}{
		"the only one":           {[]running{dockerd(7, "-H", "fd://")}, nil, "", 7},
		"with no flag":           {[]running{dockerd(7)}, nil, "", 7},
		"old name":               {[]running{with(dockerd(7), func(r *running) { r.exe = "/usr/bin/dockerd-current" })}, nil, "", 7},
		"replaced on disk":       {[]running{with(dockerd(7), func(r *running) { r.exe += " (deleted)" })}, nil, "", 7},
		"links may not be read":  {[]running{with(dockerd(7), func(r *running) { r.exe, r.mnt = "", "" })}, nil, "", 7},
		"something else":         {[]running{with(dockerd(7), func(r *running) { r.exe = "/usr/bin/sleep" })}, nil, "", 0},
		"another user's":         {[]running{with(dockerd(7), func(r *running) { r.uid = 1001 })}, nil, "", 0},
		"with borrowed rights":   {[]running{with(dockerd(7), func(r *running) { r.exe, r.borrowed = "", 1001 })}, nil, "", 0},
		"in a container":         {[]running{with(dockerd(7), func(r *running) { r.mnt = "mnt:[2]" })}, nil, "", 0},
		"in a container, unseen": {[]running{with(dockerd(7), func(r *running) { r.mnt, r.exe, r.nested = "", "", true })}, nil, "", 0},
		"the usual one of two": {
			[]running{dockerd(7, "-H", "unix:///srv/two.sock", "-p", "/srv/two.pid"), dockerd(9, "-H=fd://")}, nil, "", 9,
		},
		"the named one of two": {
			[]running{dockerd(7, "-H", "fd://"), dockerd(9, "--host", "unix:///srv/two.sock")},
			map[string]string{"/srv/two.sock": "socket", "/run/docker.sock": "socket"},
			"unix:///srv/two.sock", 9,
		},
		"named in daemon.json": {
			[]running{dockerd(7), dockerd(9, "--config-file=/srv/two.json")},
			map[string]string{"/srv/two.sock": "socket", "/srv/two.json": `{"hosts": ["unix:///srv/two.sock"]}`},
			"unix:///srv/two.sock", 9,
		},
		"by its number among equals": {
			[]running{dockerd(7), dockerd(9)}, map[string]string{"/var/run/docker.pid": "9"}, "", 9,
		},
		"both with their numbers, at the usual one's file": {
			[]running{dockerd(7, "-p", "/srv/two.pid"), dockerd(9)},
			map[string]string{"/srv/two.pid": "7", "/var/run/docker.pid": "9"},
			"", 9,
		},
		"by systemd's socket, and not by TCP": {
			[]running{dockerd(7, "-H", "tcp://0.0.0.0:2375"), dockerd(9, "-H", "fd://")}, nil, "", 9,
		},
		"by systemd's socket, wherever that is": {
			[]running{dockerd(7, "-H", "fd://")}, map[string]string{"/srv/two.sock": "socket"}, "unix:///srv/two.sock", 7,
		},
		"only at another socket": {
			[]running{dockerd(7, "-Hunix:///srv/two.sock")}, map[string]string{"/run/docker.sock": "socket"}, "", 0,
		},
		"by TCP alone": {[]running{dockerd(7, "-H", "tcp://0.0.0.0:2375")}, nil, "", 7},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := machine.Look(machine.Options{GOOS: "linux", Home: "/home/ann", Euid: 1000, FS: live(tt.content, tt.processes...), DockerHost: tt.host}).Docker
			switch p := d.Daemon.Process; {
			case p == nil && tt.pid != 0, p != nil && p.PID != tt.pid:
				t.Errorf("process is %+v, want %d", p, tt.pid)
			case p != nil && (p.Start != uint64(1000+p.PID) || p.UID != 0 || !d.Found):
				t.Errorf("process is %+v, found %v", p, d.Found)
			}
		})
	}
}

func TestFlagsOfTheRunningEngineCount(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		args                 []string
		cwd, config, pidfile string
		explicit             bool
		insecure             []string
	}{
		"none":      {nil, "", "/etc/docker/daemon.json", "/var/run/docker.pid", false, nil},
		"apart":     {[]string{"--config-file", "/srv/d.json", "--pidfile", "/srv/d.pid", "--insecure-registry", "a:5000"}, "", "/srv/d.json", "/srv/d.pid", true, []string{"a:5000"}},
		"joined":    {[]string{"--config-file=/srv/d.json", "--pidfile=/srv/d.pid", "--insecure-registry=a:5000"}, "", "/srv/d.json", "/srv/d.pid", true, []string{"a:5000"}},
		"short":     {[]string{"-p/srv/d.pid"}, "", "/etc/docker/daemon.json", "/srv/d.pid", false, nil},
		"short =":   {[]string{"-p=/srv/d.pid", "-D"}, "", "/etc/docker/daemon.json", "/srv/d.pid", false, nil},
		"repeated":  {[]string{"--insecure-registry", "a", "--insecure-registry=b,c", "--insecure-registry", "10.0.0.0/8"}, "", "/etc/docker/daemon.json", "/var/run/docker.pid", false, []string{"a", "b", "c", "10.0.0.0/8"}},
		"after --":  {[]string{"--", "--insecure-registry=a"}, "", "/etc/docker/daemon.json", "/var/run/docker.pid", false, nil},
		"cut off":   {[]string{"--insecure-registry"}, "", "/etc/docker/daemon.json", "/var/run/docker.pid", false, nil},
		"relative":  {[]string{"--config-file", "d.json"}, "/srv/x", "/srv/x/d.json", "/var/run/docker.pid", true, nil},
		"from none": {[]string{"--config-file", "d.json"}, "", "", "/var/run/docker.pid", true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			content := map[string]string{}
			if tt.cwd != "" {
				content["/proc/7/cwd"] = "-> " + tt.cwd
			}
			d := machine.Look(machine.Options{GOOS: "linux", FS: live(content, dockerd(7, tt.args...))}).Docker
			if d.Daemon.ConfigFile != tt.config || d.ConfigFile != tt.config || d.Daemon.PIDFile != tt.pidfile ||
				d.Daemon.Explicit != tt.explicit || !slices.Equal(d.Daemon.InsecureFlags, tt.insecure) {
				t.Errorf("got %+v", d.Daemon)
			}
		})
	}
}

func TestRootlessEngineIsTheUsersOwn(t *testing.T) {
	t.Parallel()
	kit := running{pid: 5, parent: 4, uid: 1000, args: []string{"/proc/self/exe", "--net=slirp4netns", "/usr/bin/dockerd-rootless.sh"}}
	own := running{pid: 7, parent: 5, uid: 1000, exe: "/usr/bin/dockerd", mnt: "mnt:[9]", args: []string{"dockerd", "--insecure-registry=a"}}
	d := machine.Look(machine.Options{GOOS: "linux", Home: "/home/ann", Euid: 1000, FS: live(nil, kit, own)}).Docker
	if d.Found || d.Daemon.Process != nil || !d.Rootless || len(d.Variants) != 1 {
		t.Fatalf("got %+v", d)
	}
	v := d.Variants[0]
	if !v.User || v.CertsDir != "/home/ann/.config/docker/certs.d" || v.ConfigFile != "/home/ann/.config/docker/daemon.json" ||
		v.Daemon.PIDFile != "/run/user/1000/docker.pid" || v.Restart != "" || v.ConfigRestart != "" {
		t.Errorf("got %+v", v)
	}
	if v.Daemon.Process == nil || v.Daemon.Process.PID != 7 || !slices.Equal(v.Daemon.InsecureFlags, []string{"a"}) {
		t.Errorf("got %+v", v.Daemon)
	}
	// By sudo: it is theirs, and not taken for root's.
	d = machine.Look(machine.Options{GOOS: "linux", UserID: 1000, FS: live(nil, kit, own)}).Docker
	if d.Found || d.Daemon.Process != nil || !d.Rootless || len(d.Variants) != 0 {
		t.Errorf("by sudo: got %+v", d)
	}
	for goos, at := range map[string]struct{ home, sign, config string }{
		"linux":   {"/home/ann", "/opt/docker-desktop/", "/home/ann/.docker/daemon.json"},
		"darwin":  {"/Users/ann", "/Applications/Docker.app/", "/Users/ann/.docker/daemon.json"},
		"windows": {`C:\Users\ann`, `C:\Program Files\Docker\Docker\Docker Desktop.exe`, `C:\Users\ann\.docker\daemon.json`},
	} {
		d := machine.Look(machine.Options{GOOS: goos, Home: at.home, FS: tree(at.sign)}).Docker
		if len(d.Variants) != 1 || d.Variants[0].ConfigFile != at.config || !d.Variants[0].User || d.Variants[0].Restart == "" {
			t.Errorf("%s: got %+v", goos, d.Variants)
		}
	}
}

// Whoever chose root's HOME, or called sudo, does not choose whose programs root
// believes.
func TestRootHasNoUsersEngine(t *testing.T) {
	t.Parallel()
	mine := running{pid: 7, parent: 1, uid: 1000, exe: "/home/ann/dockerd", mnt: "mnt:[1]", args: []string{"dockerd", "--config-file=/etc/victim.json"}}
	for _, user := range []int{0, 1000} {
		d := machine.Look(machine.Options{GOOS: "linux", Home: "/home/ann", UserID: user, FS: live(nil, mine)}).Docker
		if len(d.Variants) > 0 || d.ConfigFile != "/etc/docker/daemon.json" {
			t.Errorf("sudo by %d: %+v", user, d)
		}
	}
}
