package machine_test

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/vicr-cli/vicr/internal/machine"
)

// tree makes a file system out of paths: "PATH/" is a folder, "PATH=" a
// socket, any other a program.
func tree(paths ...string) fstest.MapFS {
	m := fstest.MapFS{}
	for _, p := range paths {
		f := &fstest.MapFile{Mode: 0o755}
		switch {
		case strings.HasSuffix(p, "/"):
			f.Mode = fs.ModeDir | 0o755
		case strings.HasSuffix(p, "="):
			f.Mode = fs.ModeSocket | 0o660
		}
		m[machine.Name(strings.TrimRight(p, "/="))] = f
	}
	return m
}

func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func kinds(d machine.Docker) (k []machine.Kind) {
	for _, v := range d.Variants {
		k = append(k, v.Kind)
	}
	return k
}

func TestDockerIsFoundByEachOfItsSigns(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		tree     fstest.MapFS
		lookPath string
		evidence string
		socket   string
	}{
		"socket":            {tree("/var/run/docker.sock="), "", "socket /var/run/docker.sock", "/var/run/docker.sock"},
		"socket in run":     {tree("/run/docker.sock="), "", "socket /run/docker.sock", "/run/docker.sock"},
		"folder":            {tree("/etc/docker/"), "", "folder /etc/docker", ""},
		"daemon of Debian":  {tree("/usr/sbin/dockerd"), "", "program /usr/sbin/dockerd", ""},
		"client":            {tree("/usr/bin/docker"), "", "program /usr/bin/docker", ""},
		"elsewhere in PATH": {tree("/opt/"), "/opt/bin/docker", "program /opt/bin/docker", ""},
		"all of them": {
			tree("/etc/docker/", "/run/docker.sock=", "/usr/bin/dockerd", "/usr/bin/docker"), "/opt/bin/docker",
			"socket /run/docker.sock, folder /etc/docker, program /usr/bin/dockerd, program /usr/bin/docker", "/run/docker.sock",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := machine.Look(machine.Options{GOOS: "linux", Home: "/home/ann", FS: tt.tree, LookPath: func(program string) (string, error) {
				if tt.lookPath == "" || !strings.HasSuffix(tt.lookPath, "/"+program) {
					return "", errors.New("not in PATH")
				}
				return tt.lookPath, nil
			}}).Docker
			if !d.Found || d.Evidence != tt.evidence || d.Socket != tt.socket {
				t.Errorf("found %v by %q with socket %q, want %q and %q", d.Found, d.Evidence, d.Socket, tt.evidence, tt.socket)
			}
			if d.CertsDir != "/etc/docker/certs.d" || d.ConfigFile != "/etc/docker/daemon.json" {
				t.Errorf("reads %q and %q", d.CertsDir, d.ConfigFile)
			}
		})
	}
}

func TestDockerIsNotFoundByWhatOnlyLooksLikeIt(t *testing.T) {
	t.Parallel()
	for name, fsys := range map[string]fstest.MapFS{
		"nothing":                        tree("/etc/hosts"),
		"a folder in place of a socket":  tree("/var/run/docker.sock/"),
		"a file in place of a folder":    tree("/etc/docker"),
		"a folder in place of a program": tree("/usr/bin/dockerd/"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := machine.Look(machine.Options{GOOS: "linux", FS: fsys}).Docker
			if d.Found || d.Evidence != "" || len(d.Variants) > 0 {
				t.Errorf("found %q and %v", d.Evidence, d.Variants)
			}
			if d.CertsDir == "" {
				t.Error("a tool that is not here must have a folder all the same: it can be named")
			}
		})
	}
}

func TestOtherWaysToRunDockerAreRecognised(t *testing.T) {
	t.Parallel()
	const rootlessSocket = "/run/user/1000/docker.sock="
	for name, tt := range map[string]struct {
		tree  fstest.MapFS
		host  string
		found bool // the engine that runs as root
		kinds []machine.Kind
		certs string
	}{
		"rootless beside its programs": {
			tree(rootlessSocket, "/usr/bin/dockerd", "/usr/bin/docker"), "", false,
			[]machine.Kind{machine.Rootless},
			"/home/ann/.config/docker/certs.d",
		},
		"rootless beside an engine as root": {
			tree(rootlessSocket, "/run/docker.sock="), "", true,
			[]machine.Kind{machine.Rootless},
			"/home/ann/.config/docker/certs.d",
		},
		"rootless by DOCKER_HOST": {
			tree("/usr/bin/dockerd"), "unix:///run/user/1001/docker.sock", false,
			[]machine.Kind{machine.Rootless},
			"/home/ann/.config/docker/certs.d",
		},
		"snap": {
			tree("/snap/bin/docker", "/var/run/docker.sock="), "", false,
			[]machine.Kind{machine.Snap},
			"/var/snap/docker/current/etc/docker/certs.d",
		},
		"snap that was never started": {
			tree("/var/snap/docker/"), "", false,
			[]machine.Kind{machine.Snap},
			"/var/snap/docker/current/etc/docker/certs.d",
		},
		"snap beside an engine as root": {
			tree("/snap/bin/docker", "/usr/bin/dockerd", "/run/docker.sock="), "", true,
			[]machine.Kind{machine.Snap},
			"/var/snap/docker/current/etc/docker/certs.d",
		},
		"desktop": {
			tree("/home/ann/.docker/desktop/docker.sock=", "/usr/bin/docker"), "", false,
			[]machine.Kind{machine.Desktop},
			"/home/ann/.docker/certs.d",
		},
		"desktop beneath WSL": {
			tree("/mnt/wsl/docker-desktop/", "/var/run/docker.sock=", "/usr/bin/docker"), "", false,
			[]machine.Kind{machine.Desktop},
			"/home/ann/.docker/certs.d",
		},
		"podman": {
			tree("/etc/docker/"), "unix:///run/user/1000/podman/podman.sock", true,
			[]machine.Kind{machine.Podman},
			"",
		},
		"a virtual machine of the user": {
			tree("/etc/hosts"), "unix:///home/ann/.colima/default/docker.sock", false,
			[]machine.Kind{machine.Unknown},
			"",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := machine.Look(machine.Options{
				GOOS: "linux", Home: "/home/ann", FS: tt.tree, DockerHost: tt.host,
				Getenv: env("XDG_RUNTIME_DIR", "/run/user/1000"),
			}).Docker
			if d.Found != tt.found || !slices.Equal(kinds(d), tt.kinds) {
				t.Fatalf("found %v (%s) and %v, want %v and %v", d.Found, d.Evidence, kinds(d), tt.found, tt.kinds)
			}
			if d.Variants[0].CertsDir != tt.certs || d.Variants[0].Evidence == "" {
				t.Errorf("variant is %+v, want it to read %q", d.Variants[0], tt.certs)
			}
			if d.Rootless != slices.Contains(tt.kinds, machine.Rootless) {
				t.Errorf("rootless is %v", d.Rootless)
			}
		})
	}
}

func TestSocketNamedByDockerHostIsTheOneToAsk(t *testing.T) {
	t.Parallel()
	d := machine.Look(machine.Options{
		GOOS: "linux", FS: tree("/srv/two/docker.sock=", "/run/docker.sock="), DockerHost: "unix:///srv/two/docker.sock",
	}).Docker
	if d.Socket != "/srv/two/docker.sock" {
		t.Errorf("socket is %q", d.Socket)
	}
}

func TestEngineOnAnotherMachineIsMarkedRemote(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]struct {
		remote         bool
		endpoint, name string
	}{
		"":                                   {false, "", ""},
		"unix:///var/run/docker.sock":        {false, "", ""},
		"tcp://build.corp:2376":              {true, "tcp://build.corp:2376", "build.corp"},
		"build.corp:2376":                    {true, "tcp://build.corp:2376", "build.corp"},
		"TCP://192.0.2.7:2375":               {true, "tcp://192.0.2.7:2375", "192.0.2.7"},
		"tcp://[2001:db8::7]:2375":           {true, "tcp://[2001:db8::7]:2375", "2001:db8::7"},
		"ssh://ann:hidden@build.corp":        {true, "ssh://build.corp", "build.corp"},
		"http://build.corp":                  {true, "http://build.corp", "build.corp"},
		"tcp://":                             {true, "", ""},
		"tcp://\x1b[2J":                      {true, "", ""},
		"tcp://localhost:2375":               {false, "", ""},
		"tcp://127.0.0.1:2375":               {false, "", ""},
		"ssh://ann@[::1]":                    {true, "ssh://[::1]", "::1"},
		"npipe:////./pipe/docker_engine":     {false, "", ""},
		`npipe://\\.\pipe\docker_engine`:     {false, "", ""},
		"npipe:////build/pipe/docker_engine": {true, "npipe://build", "build"},
	} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			for _, goos := range []string{"linux", "darwin", "windows"} {
				d := machine.Look(machine.Options{GOOS: goos, FS: tree("/etc/docker/"), DockerHost: host}).Docker
				if d.Remote != want.remote || d.Endpoint != want.endpoint || d.RemoteName() != want.name {
					t.Errorf("%s: remote %v at %q on %q, want %+v", goos, d.Remote, d.Endpoint, d.RemoteName(), want)
				}
			}
		})
	}
}

func TestTreeIsJudgedByItsFilesAlone(t *testing.T) {
	t.Parallel()
	look := func(paths ...string) machine.Docker {
		return machine.Look(machine.Options{
			GOOS: "linux", Root: "/srv/image", Home: "/home/ann", FS: tree(paths...),
			DockerHost: "tcp://build.corp:2376", Getenv: env("XDG_RUNTIME_DIR", "/run/user/1000"),
			LookPath: func(string) (string, error) { return "/usr/bin/docker", nil },
		}).Docker
	}
	if d := look("/run/user/1000/docker.sock=", "/run/docker.sock="); d.Found || d.Remote || len(d.Variants) > 0 {
		t.Errorf("what runs here counts for a tree: %+v", d)
	}
	if d := look("/usr/bin/dockerd"); !d.Found || d.Socket != "" {
		t.Errorf("a program in the tree does not count: %+v", d)
	}
}

func TestDockerOnMacAndWindows(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		goos, home string
		tree       fstest.MapFS
		host       string
		found      bool
		kinds      []machine.Kind
		certs      string
	}{
		"mac without":         {"darwin", "/Users/ann", tree(), "", false, nil, "/Users/ann/.docker/certs.d"},
		"mac with desktop":    {"darwin", "/Users/ann", tree("/Applications/Docker.app/"), "", false, []machine.Kind{machine.Desktop}, "/Users/ann/.docker/certs.d"},
		"mac with a program":  {"darwin", "/Users/ann", tree("/usr/local/bin/docker"), "", false, []machine.Kind{machine.Unknown}, "/Users/ann/.docker/certs.d"},
		"mac by socket":       {"darwin", "/Users/ann", tree(), "unix:///Users/ann/.docker/run/docker.sock", false, []machine.Kind{machine.Desktop}, "/Users/ann/.docker/certs.d"},
		"mac with colima":     {"darwin", "/Users/ann", tree(), "unix:///Users/ann/.colima/docker.sock", false, []machine.Kind{machine.Unknown}, "/Users/ann/.docker/certs.d"},
		"windows without":     {"windows", `C:\Users\ann`, tree(), "", false, nil, `C:\ProgramData\docker\certs.d`},
		"windows desktop":     {"windows", `C:\Users\ann`, tree(`C:\Program Files\Docker\Docker\Docker Desktop.exe`), "", false, []machine.Kind{machine.Desktop}, `C:\ProgramData\docker\certs.d`},
		"windows with engine": {"windows", `C:\Users\ann`, tree(`C:\Program Files\Docker\dockerd.exe`), "", true, nil, `C:\ProgramData\docker\certs.d`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := machine.Look(machine.Options{GOOS: tt.goos, Home: tt.home, FS: tt.tree, DockerHost: tt.host}).Docker
			if d.Found != tt.found || !slices.Equal(kinds(d), tt.kinds) || d.CertsDir != tt.certs {
				t.Errorf("got %+v", d)
			}
			if root := machine.Look(machine.Options{GOOS: tt.goos, Home: tt.home, Root: "/srv", FS: tt.tree}).Docker; root.Found || root.CertsDir != "" {
				t.Errorf("a tree of %s has an engine: %+v", tt.goos, root)
			}
		})
	}
}
