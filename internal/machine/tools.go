package machine

// A Process is a running program as /proc shows it.
type Process struct {
	PID   int
	UID   int
	Exe   string   // where its executable lies; may hold any byte
	Args  []string // argv; may hold any byte
	Start uint64   // when it began, in clock ticks after boot (proc(5), stat field 22)
}

// A Daemon is how dockerd is started, as far as it can be seen.
type Daemon struct {
	Process *Process // nil: it does not run, or cannot be seen

	// These are read from the argv of Process, or from what would start it.
	PIDFile       string   // where its number is written
	ConfigFile    string   // the file that it reads; "" if it is named from a folder that cannot be seen
	Explicit      bool     // ConfigFile was named by --config-file, so it has to be there
	InsecureFlags []string // the values of --insecure-registry in its argv

	Unit        string     // the systemd unit that starts it; "" if none does
	Systemd     bool       // systemd runs on this machine (or is in the tree)
	NeedsReload bool       // a unit file changed and systemd has not read it anew
	FlagFiles   []FlagFile // files whose variables end in its argv
	Ignored     []FlagFile // files that look so and do not
}

// A FlagFile is a file of shell variables that a service makes a command line of.
type FlagFile struct {
	Path     string
	Variable string // such as DOCKER_OPTS; "" for a unit file, which is no shell
	Why      string // why it counts, or does not, in words
	Missing  bool   // it is not there, and would count if it were
}

// Containerd is what is known of containerd and the tools upon it.
type Containerd struct {
	Found      bool
	Evidence   string
	ConfigFile string // config.toml, also when it is not there
	Version    int    // of the format of config.toml: 1, 2, 3, 4; 0 if there is none
	CRI        bool   // its CRI plugin is not disabled
	ConfigPath string // config_path of the CRI registry section; "" if not set
	Mirrors    bool   // registry.mirrors or registry.configs are set, which exclude config_path
	CertsDir   string // where hosts are looked for: the first of ConfigPath, else /etc/containerd/certs.d
	Nerdctl    bool   // nerdctl reads certs.d whatever config.toml says
	Socket     string

	// Problem is why config.toml says nothing of CRI and registries, in words,
	// "" if it was read. It may hold any byte.
	Problem   string
	Imports   bool   // config.toml has imports, which are not followed: they may say otherwise
	UserCerts string // certs.d that nerdctl reads when it runs as a normal user; "" without a home
}

// PodmanFamily is what is known of the family that reads through containers/image: Podman, Buildah,
// Skopeo, CRI-O.
type PodmanFamily struct {
	Found     bool
	Evidence  string
	Programs  map[string]string // podman, buildah, skopeo, crio: where they are
	UserCerts string            // ~/.config/containers/certs.d; "" without a home
	CertsDir  string            // /etc/containers/certs.d
	UserConf  string            // ~/.config/containers/registries.conf.d
	ConfDir   string            // /etc/containers/registries.conf.d
	UserOnly  bool              // ~/.config/containers/registries.conf is there: all of /etc is ignored for this user
	Machine   bool              // podman runs in a virtual machine of its own (macOS, Windows)
}

// BuildKit is what is known of builders beside the one in dockerd.
type BuildKit struct {
	Found      bool
	Evidence   string
	Builders   []Builder // buildx builders that run in a container
	UserConfig string    // ~/.docker/buildx/buildkitd.default.toml, which buildx create reads
	ConfigFile string    // /etc/buildkit/buildkitd.toml of a buildkitd that runs by itself
	Standalone bool      // such a buildkitd is here
}

// A Builder is one that docker buildx made.
type Builder struct {
	Name   string // may hold any byte
	Driver string
}

// A Kubernetes is a k3s or rke2 on this machine.
type Kubernetes struct {
	Name       string // k3s or rke2
	Found      bool
	Evidence   string
	ConfigFile string   // registries.yaml
	Dir        string   // the folder it lies in
	Units      []string // systemd units that are there, such as k3s, k3s-agent
}

// System is the store of CAs that every program on the machine trusts.
type System struct {
	Family string   // debian, rhel, suse, arch, alpine, macos, windows; "" if not known
	Dir    string   // where a CA is put; "" where a program does it
	Ext    string   // how the file's name has to end
	Update []string // argv, absolute, that makes the bundle; nil if it is not there
	Undo   []string // argv after the file is gone
	Bundle string   // the file that programs read; "" where there is none

	// Where Dir is "", what is meant has to be added at the end: the file of the
	// CA to Update, and to Undo its SHA-1 thumbprint and then Keychain (macOS).
	Keychain string
	Gone     string // what a failed Undo says where the CA is not in the store
}

// Elsewhere is a tool whose files lie in a machine of its own.
type Elsewhere struct {
	Name     string // kind, minikube, "podman machine", colima, vic-machine, lima, "rancher desktop"
	Evidence string
	Detail   []string // such as names of clusters; may hold any byte
}
