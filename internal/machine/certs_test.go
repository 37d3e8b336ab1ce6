package machine_test

import (
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/vicr-cli/vicr/internal/machine"
)

// asked is a file system that notes the names of what is opened.
type asked struct {
	fs.FS

	mu    sync.Mutex
	names []string
}

func (a *asked) Open(name string) (fs.File, error) {
	a.mu.Lock()
	a.names = append(a.names, name)
	a.mu.Unlock()
	return a.FS.Open(name)
}

// certsThere are the folders of certificates that are there, of the engines
// that may have one.
func certsThere(m machine.Machine) []string {
	dirs := []string{m.Docker.CertsDir}
	for _, v := range m.Docker.Variants {
		dirs = append(dirs, v.CertsDir, v.AlsoCertsDir)
	}
	dirs = slices.DeleteFunc(dirs, func(dir string) bool {
		_, err := m.Stat(dir)
		return dir == "" || err != nil
	})
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

func TestConnectionsKnowTheFoldersThatAWholeLookFinds(t *testing.T) {
	t.Parallel()
	const own, snapped = "/home/ann/.config/docker/certs.d", "/var/snap/docker/current/etc/docker/certs.d"
	rootless := running{
		pid: 7, parent: 1, uid: 1000, exe: "/usr/bin/dockerd", mnt: "mnt:[1]", args: []string{"/usr/bin/dockerd", "-H", "tcp://127.0.0.1:2375"},
	}
	somebodys := rootless
	somebodys.uid = 1001
	for name, tt := range map[string]struct {
		content   map[string]string
		processes []running
		o         machine.Options
		want      []string // of own and snapped
	}{
		"nothing":                           {},
		"an engine":                         {processes: []running{dockerd(9)}},
		"a folder that nobody reads":        {content: map[string]string{own: ""}},
		"and an engine as root":             {content: map[string]string{own: ""}, processes: []running{dockerd(9)}},
		"somebody else's engine":            {content: map[string]string{own: ""}, processes: []running{somebodys}},
		"a process":                         {content: map[string]string{own: ""}, processes: []running{rootless}, want: []string{own}},
		"a process, and no folder":          {processes: []running{rootless}},
		"a socket":                          {content: map[string]string{own: "", "/run/user/1000/docker.sock": "socket"}, want: []string{own}},
		"a unit":                            {content: map[string]string{own: "", "/home/ann/.config/systemd/user/docker.service": "[Service]"}, want: []string{own}},
		"root's engine in the user's place": {content: map[string]string{own: "", "/var/run/docker.sock": "socket"}, o: machine.Options{Getenv: env("XDG_RUNTIME_DIR", "/var/run")}},
		"DOCKER_HOST":                       {content: map[string]string{own: ""}, o: machine.Options{DockerHost: "unix:///run/user/1000/other.sock"}, want: []string{own}},
		"a snap":                            {content: map[string]string{snapped: "", "/var/snap/docker": ""}, want: []string{snapped}},
		"a snap of old":                     {content: map[string]string{"/var/snap/docker": "", "/var/snap/docker/common/etc/certs.d": ""}, want: []string{"/var/snap/docker/common/etc/certs.d"}},
		"Desktop":                           {content: map[string]string{"/opt/docker-desktop": "", "/home/ann/.docker/certs.d": ""}, want: []string{"/home/ann/.docker/certs.d"}},
		"Desktop, for root":                 {content: map[string]string{"/opt/docker-desktop": "", "/home/ann/.docker/certs.d": ""}, o: machine.Options{Euid: -1, UserID: 1000}},
		"root":                              {content: map[string]string{own: ""}, processes: []running{rootless}, o: machine.Options{Euid: -1}},
		"root for ann":                      {content: map[string]string{own: ""}, processes: []running{rootless}, o: machine.Options{Euid: -1, UserID: 1000}},
		"on a Mac":                          {content: map[string]string{"/home/ann/.docker/certs.d": ""}, o: machine.Options{GOOS: "darwin"}, want: []string{"/home/ann/.docker/certs.d"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			content := map[string]string{"/etc/docker/certs.d": ""}
			maps.Copy(content, tt.content)
			fsys := &asked{FS: live(content, tt.processes...)}
			o := tt.o
			o.FS, o.Home = fsys, "/home/ann"
			if o.GOOS == "" {
				o.GOOS = "linux"
				tt.want = append(tt.want, "/etc/docker/certs.d")
			}
			switch o.Euid {
			case 0:
				o.Euid = 1000
			case -1:
				o.Euid = 0
			}
			slices.Sort(tt.want)
			m := machine.LookForCerts(o)
			opened := slices.Clone(fsys.names)
			if got, all := certsThere(m), certsThere(machine.Look(o)); !slices.Equal(got, tt.want) || !slices.Equal(all, tt.want) {
				t.Errorf("a connection knows %q, a whole look finds %q, want %q", got, all, tt.want)
			}
			if m.Dirs != machine.DirsOf(o) {
				t.Errorf("vicr's own folders are %+v", m.Dirs)
			}
			if _, there := content[own]; (!there || o.Euid == 0 && o.UserID == 0) && slices.ContainsFunc(opened, func(name string) bool { return strings.HasPrefix(name, "proc") }) {
				t.Errorf("processes are looked at, and nothing depends on them: %q", opened)
			}
		})
	}
}
