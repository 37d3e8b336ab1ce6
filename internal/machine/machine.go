// Package machine sees, read-only, which container tools this machine or the
// tree of --root has, how they run and where they read. It asks no network and
// starts no program.
package machine

import (
	"io/fs"
	"strings"
)

// A Machine is what was seen. Paths are those of the machine itself, in the
// form of its GOOS; with Root they are meant beneath it.
type Machine struct {
	GOOS   string
	Euid   int    // effective user ID; -1 where there is none
	Root   string // folder of --root; "" for the machine itself
	Home   string // of the user whose folders are meant; "" if not known
	Dirs   Dirs
	Docker Docker

	Containerd Containerd
	Podman     PodmanFamily
	BuildKit   BuildKit
	Kubernetes []Kubernetes // k3s and rke2, found or not
	Notary     string       // ~/.docker/tls; "" without a home
	System     System
	Elsewhere  []Elsewhere

	// FS is how the files of the machine are read, by the names that [Name]
	// makes. Nil: those of the machine itself, or beneath Root and never outside it.
	FS fs.FS
}

// Docker is what is known of the Docker engine that runs as root on this machine.
type Docker struct {
	Found    bool
	Evidence string // what gave it away, in words; may hold any byte

	// CertsDir is where the engine looks for a CA by the host of an image. It
	// is given also when no engine was found; "" if there is no such folder.
	CertsDir   string
	ConfigFile string // its daemon.json, also when no engine was found; that of Daemon
	Socket     string // where that engine, and no other, answers; "" if no socket was seen
	Daemon     Daemon // how that engine is started

	Remote   bool   // DockerHost names an engine on another machine
	Endpoint string // DockerHost as scheme://host[:port] when Remote, "" if it cannot be read; may hold any byte
	Problem  string // why nobody knows which engine is in use, "" if that is known; may hold any byte
	Rootless bool   // an engine that runs as a normal user is among the Variants
	Variants []Variant
}

// A Kind is a way to run a Docker engine that reads its files elsewhere.
type Kind string

// The kinds of [Variant].
const (
	Rootless Kind = "rootless" // dockerd as a normal user, under RootlessKit
	Snap     Kind = "snap"     // dockerd out of Canonical's snap package
	Desktop  Kind = "desktop"  // Docker Desktop: dockerd in a virtual machine
	Podman   Kind = "podman"   // Podman's socket, named by DockerHost
	Unknown  Kind = "unknown"  // a socket named by DockerHost of which nothing more is known
)

// A Variant is a Docker engine that is there, or in use, beside the one that
// runs as root.
type Variant struct {
	Kind     Kind
	Evidence string // what gave it away, in words; may hold any byte
	CertsDir string // where it looks for a CA by the host of an image; "" if not known

	ConfigFile string // its daemon.json; "" if not known
	Socket     string // where it answers; "" if not seen
	User       bool   // its files are the user's own, not root's
	Restart    string // what makes it read CertsDir; "" if it does so by itself
	Daemon     Daemon // how it is started; zero where that cannot be seen

	ConfigRestart string // what makes it read ConfigFile, where SIGHUP to Daemon.Process is not the way; "" if it is
	AlsoCertsDir  string // a second folder that some of its releases read instead; "" if it is not there
}

// Options are what [Look] starts from. All of the environment comes in here.
type Options struct {
	GOOS       string
	Root       string // "" for the machine itself
	Home       string // of the user whose folders are meant
	Euid       int
	UserID     int                          // of who called sudo, whose own engines root leaves to them; 0: nobody did
	Getenv     func(string) string          // nil: no variable is set
	DockerHost string                       // the engine in use, as in DOCKER_HOST; "" for the default one
	NoHost     string                       // why DockerHost could not be found out, in words; "" if it was
	LookPath   func(string) (string, error) // nil: programs are looked for in their usual places alone
	// Show returns properties of a systemd unit by name, as systemctl show does;
	// nil: the unit's files are read instead.
	Show func(unit string) (map[string]string, error)
	FS   fs.FS // see [Machine]
}

// Look sees what is there. What cannot be read counts as absent.
func Look(o Options) Machine {
	m, o := begin(o)
	m.Docker = lookDocker(m, o)
	if o.Root == "" {
		m.Docker.Problem = o.NoHost
	}
	m.Containerd = lookContainerd(m, o)
	m.Podman = lookPodman(m, o)
	m.BuildKit = lookBuildKit(m, o)
	m.Kubernetes = lookKubernetes(m)
	m.Notary = within(o.GOOS, m.dockerConfig(o), "tls")
	m.System = lookSystem(m, o)
	m.Elsewhere = lookElsewhere(m, o)
	return m
}

// begin is the machine of which nothing was looked at yet, and the options that
// hold for it.
func begin(o Options) (Machine, Options) {
	o.Home = o.home()
	if o.Root != "" || o.LookPath == nil {
		o.LookPath = func(string) (string, error) { return "", fs.ErrNotExist }
	}
	m := Machine{GOOS: o.GOOS, Euid: o.Euid, Root: o.Root, Dirs: DirsOf(o), FS: o.FS}
	if o.Root == "" {
		m.Home = o.Home
	} else {
		// Nothing of a tree is the user's, and nothing runs in it.
		o.Getenv, o.Show = nil, nil
	}
	return m, o
}

// Join joins the elements of a path in the form of the machine's GOOS, which
// need not be the one that this program runs on. A drive or share comes first.
func (m Machine) Join(elem ...string) string { return join(m.GOOS, elem...) }

func join(goos string, elem ...string) string {
	sep := "/"
	if goos == windows {
		sep = `\`
	}
	var b strings.Builder
	for _, e := range elem {
		if e == "" {
			continue
		}
		if b.Len() > 0 && !strings.HasSuffix(b.String(), sep) {
			b.WriteString(sep)
		}
		b.WriteString(e)
	}
	return b.String()
}
