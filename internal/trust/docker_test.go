package trust_test

import (
	"testing"

	"github.com/vicr-cli/vicr/internal/machine"
)

func dockerHere() map[string]string {
	return map[string]string{"/run/docker.sock=": "", "/etc/docker/": "", "/usr/bin/dockerd": ""}
}

func systemdHere() map[string]string {
	return map[string]string{"/run/systemd/system/": "", "/usr/bin/systemctl": ""}
}

// debian's own unit reads /etc/default/docker, that of Docker's packages reads nothing.
func debianUnit() map[string]string {
	return map[string]string{"/usr/lib/systemd/system/docker.service": "[Service]\nEnvironmentFile=-/etc/default/docker\nExecStart=/usr/sbin/dockerd -H fd:// $DOCKER_OPTS\nExecReload=/bin/kill -s HUP $MAINPID\n"}
}

func nothing() map[string]string { return map[string]string{"/etc/hosts": "", "C:/Windows/": ""} }

const insecureList = `{"insecure-registries": ["registry.corp:5000", "other.corp", "192.0.2.0/24"], "debug": true}`

func TestDockerPlansAreGolden(t *testing.T) {
	t.Parallel()
	mac := func() map[string]string { return map[string]string{"/Applications/Docker.app/": ""} }
	winDesktop := map[string]string{"C:/Program Files/Docker/Docker/Docker Desktop.exe": ""}
	winEngine := map[string]string{"C:/Program Files/Docker/dockerd.exe": ""}
	snap := map[string]string{"/snap/bin/docker": "", "/run/docker.sock=": "", "/usr/bin/snap": "", "/var/snap/docker/common/etc/certs.d/": ""}
	rootless := machine.Options{DockerHost: "unix:///run/user/1000/docker.sock"}
	noContext := machine.Options{NoHost: `docker context "nope": there is no such context`}
	windows, darwin := machine.Options{GOOS: "windows"}, machine.Options{GOOS: "darwin"}
	golden(t, map[string]row{
		"linux-docker-443":            {host: "registry.corp"},
		"linux-docker-443-typed":      {host: "registry.corp:443"},
		"linux-docker-other-port":     {},
		"linux-docker-ipv4":           {host: "192.0.2.2:5443"},
		"linux-docker-ipv6":           {host: "[2001:db8::2]"},
		"linux-docker-ipv6-port":      {host: "[2001:db8::2]:5000"},
		"linux-docker-hub":            {host: "docker.io"},
		"linux-docker-client":         {ask: "client", fs: join(dockerHere(), map[string]string{"/usr/bin/podman": ""}), root: true},
		"linux-docker-client-alone":   {ask: "client alone"},
		"linux-leaf":                  {host: "registry.corp", ask: "leaf"},
		"linux-for-vicr":              {host: "registry.corp", tools: "vicr"},
		"linux-for-docker":            {host: "registry.corp", tools: "docker"},
		"linux-for-docker-not-found":  {fs: nothing(), host: "registry.corp", tools: "docker"},
		"linux-nothing":               {fs: nothing()},
		"linux-root":                  {o: machine.Options{Root: "/srv/my image"}, host: "registry.corp"},
		"linux-root-nothing":          {o: machine.Options{Root: "/srv/my image"}, fs: nothing(), host: "registry.corp"},
		"linux-remote":                {o: machine.Options{DockerHost: "ssh://ann:pw@build.corp"}, host: "registry.corp", tools: "docker"},
		"linux-remote-unreadable":     {o: machine.Options{DockerHost: "tcp://\x1b[2J"}, host: "registry.corp"},
		"linux-context-unknown":       {o: noContext, host: "registry.corp"},
		"linux-context-unknown-named": {o: noContext, host: "registry.corp", tools: "docker", ask: "http"},
		"darwin-context-unknown":      {o: machine.Options{GOOS: "darwin", NoHost: noContext.NoHost}, fs: mac()},
		"linux-rootless":              {o: rootless, fs: nothing(), host: "registry.corp"},
		"linux-rootless-client":       {o: rootless, fs: nothing(), tools: "docker", ask: "client"},
		"linux-rootless-and-docker":   {o: rootless},
		"linux-snap":                  {fs: snap},
		"linux-desktop":               {fs: map[string]string{"/opt/docker-desktop/": ""}},
		"linux-desktop-named":         {fs: map[string]string{"/opt/docker-desktop/": ""}, tools: "docker"},
		"linux-podman-socket":         {o: machine.Options{DockerHost: "unix:///run/user/1000/podman/\x1bpodman.sock"}, fs: nothing(), host: "registry.corp"},
		"linux-podman-socket-named":   {o: machine.Options{DockerHost: "unix:///run/user/1000/podman/podman.sock"}, tools: "docker"},
		"linux-was-insecure":          {fs: join(dockerHere(), map[string]string{"/etc/docker/daemon.json": insecureList})},
		"linux-was-insecure-network":  {fs: join(dockerHere(), map[string]string{"/etc/docker/daemon.json": insecureList}), host: "192.0.2.7"},
		"linux-was-insecure-both":     {fs: join(dockerHere(), map[string]string{"/etc/docker/daemon.json": `{"insecure-registries":["registry.corp:443","http://registry.corp"]}`}), host: "registry.corp", tools: "docker"},
		"linux-was-insecure-by-flag":  {fs: join(dockerHere(), systemdHere(), debianUnit(), map[string]string{"/etc/default/docker": "# mine\nDOCKER_OPTS=\"--insecure-registry registry.corp:5000\"\n"})},
		"linux-daemon-json-broken":    {fs: join(dockerHere(), map[string]string{"/etc/docker/daemon.json": `{"insecure-registries": "x"`})},
		"darwin":                      {o: darwin, fs: mac()},
		"darwin-named":                {o: darwin, fs: mac(), tools: "docker"},
		"darwin-named-insecure":       {o: darwin, fs: mac(), tools: "docker", ask: "http"},
		"darwin-colima":               {o: darwin, fs: map[string]string{"/usr/local/bin/docker": "", "/Users/ann/.colima/default/x": "", "/Users/ann/.colima/work/x": ""}},
		"darwin-no-docker-named":      {o: darwin, fs: nothing(), host: "registry.corp", tools: "docker"},
		"darwin-root":                 {o: machine.Options{GOOS: "darwin", Root: "/srv"}, fs: nothing(), host: "registry.corp", tools: "docker"},
		"windows":                     {o: windows, fs: winDesktop},
		"windows-named":               {o: windows, fs: winDesktop, tools: "docker"},
		"windows-engine":              {o: windows, fs: winEngine, host: "[2001:db8::2]:5000"},
		"windows-engine-insecure":     {o: windows, fs: winEngine, ask: "http", tools: "docker"},
		"windows-nothing":             {o: windows, fs: nothing(), host: "registry.corp"},
	})
}

func TestInsecureDockerPlansAreGolden(t *testing.T) {
	t.Parallel()
	rootless := machine.Options{DockerHost: "unix:///run/user/1000/docker.sock"}
	snap := map[string]string{"/snap/bin/docker": "", "/run/docker.sock=": "", "/usr/bin/snap": ""}
	flagged := join(dockerHere(), systemdHere(), debianUnit(), map[string]string{"/etc/default/docker": "DOCKER_OPTS=\"--insecure-registry other.corp\"\n"})
	sysv := join(dockerHere(), map[string]string{
		"/etc/init.d/docker": "#!/sbin/openrc-run\ncommand_args=\"${DOCKER_OPTS}\"\n", "/etc/conf.d/docker": "DOCKER_OPTS=\"--insecure-registry=other.corp\"\n",
	})
	ca := string(certificatePEM(t))
	golden(t, map[string]row{
		"insecure-docker":               {ask: "http"},
		"insecure-docker-https":         {ask: "insecure"},
		"insecure-docker-443":           {ask: "insecure", host: "registry.corp"},
		"insecure-docker-process":       {ask: "http", fs: join(dockerHere(), process())},
		"insecure-docker-root":          {ask: "http", o: machine.Options{Root: "/srv/image"}, fs: dockerHere()},
		"insecure-docker-hub":           {ask: "insecure", host: "docker.io", tools: "docker"},
		"insecure-docker-loopback":      {ask: "http", host: "127.0.0.1:5000", tools: "docker"},
		"insecure-docker-loopback-ca":   {fs: join(dockerHere(), map[string]string{"/etc/docker/certs.d/127.0.0.1:5000/ca.crt": string(certificatePEM(t))}), host: "127.0.0.1:5000", tools: "docker", ask: "insecure"},
		"insecure-docker-network":       {network: "10.20.30.7/24"},
		"insecure-docker-network6":      {network: "2001:db8::/64", tools: "docker,podman"},
		"insecure-docker-network-local": {network: "127.0.0.0/8"},
		"insecure-docker-honoured":      {ask: "http", fs: join(dockerHere(), systemdHere(), debianUnit(), map[string]string{"/etc/default/docker": "DOCKER_OPTS=\"--dns 192.0.2.53\"\n"})},
		"insecure-docker-ignored": {ask: "http", fs: join(dockerHere(), systemdHere(), map[string]string{
			"/lib/systemd/system/docker.service": "[Service]\nExecStart=/usr/bin/dockerd -H fd://\n",
			"/etc/default/docker":                "# ours\nDOCKER_OPTS=\"--insecure-registry registry.corp:5000\"\n",
		})},
		"insecure-docker-flag":         {ask: "http", fs: flagged, tools: "docker"},
		"insecure-docker-flag-restart": {ask: "http", fs: flagged, tools: "docker", restart: true, host: "registry.corp"},
		"insecure-docker-flag-default": {ask: "http", fs: flagged},
		"insecure-docker-flag-openrc":  {ask: "http", fs: sysv, tools: "docker"},
		"insecure-docker-singular":     {ask: "http", fs: join(dockerHere(), map[string]string{"/etc/docker/daemon.json": `{"insecure-registry": ["registry.corp:5000"]}`}), tools: "docker"},
		"insecure-docker-was-trusted":  {ask: "insecure", fs: join(dockerHere(), map[string]string{dockerDir + "registry.corp:5000/ca.crt": ca, dockerDir + "registry.corp:5000/admin.crt": ca}), tools: "docker"},
		"insecure-docker-foreign-ca":   {ask: "insecure", fs: join(dockerHere(), map[string]string{dockerDir + "registry.corp:5000/ca.crt": "# ours\n" + ca}), tools: "docker"},
		"insecure-rootless":            {ask: "http", o: rootless, fs: nothing()},
		"insecure-snap":                {ask: "http", fs: snap},
		"insecure-snap-named":          {ask: "http", fs: snap, tools: "docker"},
		"insecure-snap-restart":        {ask: "http", fs: snap, tools: "docker", restart: true},
	})
}

// process is a dockerd that runs, with its own file.
func process() map[string]string {
	return map[string]string{
		"/run/docker.pid":     "77\n",
		"/var/run/docker.pid": "77\n",
		"/proc/77/cmdline":    "/usr/bin/dockerd\x00-H\x00fd://\x00--config-file\x00/etc/docker/other.json\x00",
		"/proc/77/comm":       "dockerd\n",
		"/proc/77/status":     "Name:\tdockerd\nPPid:\t1\nUid:\t0\t0\t0\t0\n",
		"/proc/77/stat":       "77 (dockerd) S 1 77 77 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 4321 0 0\n",
	}
}
