package machine_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/machine"
)

const (
	// Debian 12, package docker.io 20.10.24.
	debianUnit = `[Unit]
Description=Docker Application Container Engine
After=network-online.target docker.socket firewalld.service containerd.service
Requires=docker.socket

[Service]
Type=notify
# the default is not to use systemd for cgroups because the delegate issues still
# exists and systemd currently does not support the cgroup feature set required
EnvironmentFile=-/etc/default/docker
ExecStart=/usr/sbin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock $DOCKER_OPTS
ExecReload=/bin/kill -s HUP $MAINPID
LimitNOFILE=1048576

[Install]
WantedBy=multi-user.target
`
	// moby contrib/init/systemd/docker.service.
	ceUnit = `[Unit]
Description=Docker Application Container Engine

[Service]
Type=notify
ExecStart=/usr/bin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock
ExecReload=/bin/kill -s HUP $MAINPID
`
	// CentOS 7, package docker 1.13.1.
	centosUnit = `[Service]
Type=notify
NotifyAccess=main
EnvironmentFile=-/run/containers/registries.conf
EnvironmentFile=-/etc/sysconfig/docker
EnvironmentFile=-/etc/sysconfig/docker-storage
EnvironmentFile=-/etc/sysconfig/docker-network
Environment=GOTRACEBACK=crash
ExecStart=/usr/bin/dockerd-current \
          --add-runtime docker-runc=/usr/libexec/docker/docker-runc-current \
          --default-runtime=docker-runc \
          --init-path=/usr/libexec/docker/docker-init-current \
          --seccomp-profile=/etc/docker/seccomp.json \
          $OPTIONS \
          $DOCKER_STORAGE_OPTIONS \
          $DOCKER_NETWORK_OPTIONS \
          $ADD_REGISTRY \
          $BLOCK_REGISTRY \
          $INSECURE_REGISTRY \
          $REGISTRIES
ExecReload=/bin/kill -s HUP $MAINPID
`
	unitPath = "/usr/lib/systemd/system/docker.service"
	dropIn   = "/etc/systemd/system/docker.service.d/insecure.conf"
)

// short is a flag file as PATH VARIABLE, or with its reason.
func short(files []machine.FlagFile) (out []string) {
	for _, f := range files {
		s := f.Path + " " + f.Variable
		if f.Missing {
			s += " missing"
		}
		out = append(out, s)
	}
	return out
}

func TestFlagFilesAreThoseThatTheUnitUses(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		content   map[string]string
		unit      string
		counts    []string
		ignored   []string
		why       string // of the first that is ignored
		insecure  []string
		config    string
		different bool // not the usual config
	}{
		"Debian's": {
			content:  map[string]string{"/lib/systemd/system/docker.service": debianUnit, "/etc/default/docker": "DOCKER_OPTS=\"--insecure-registry a:5000 --debug\"\n"},
			unit:     "docker.service",
			counts:   []string{"/etc/default/docker DOCKER_OPTS"},
			insecure: []string{"a:5000"},
		},
		"Debian's without the file": {
			content: map[string]string{unitPath: debianUnit},
			unit:    "docker.service",
			counts:  []string{"/etc/default/docker DOCKER_OPTS missing"},
		},
		"docker-ce on Debian": {
			content: map[string]string{unitPath: ceUnit, "/etc/default/docker": "# THIS FILE DOES NOT APPLY TO SYSTEMD\n#DOCKER_OPTS=\"--dns 8.8.8.8\"\n"},
			unit:    "docker.service",
			ignored: []string{"/etc/default/docker DOCKER_OPTS"},
			why:     "docker.service does not read it",
		},
		"docker-ce on CentOS": {
			content: map[string]string{unitPath: ceUnit, "/etc/sysconfig/docker": "OPTIONS='--insecure-registry a'\nother_args=\"\"\n"},
			unit:    "docker.service",
			ignored: []string{"/etc/sysconfig/docker OPTIONS", "/etc/sysconfig/docker other_args"},
			why:     "docker.service does not read it",
		},
		"CentOS's own": {
			content:  map[string]string{unitPath: centosUnit, "/etc/sysconfig/docker": "OPTIONS='--selinux-enabled \\\n  --insecure-registry=b'\nINSECURE_REGISTRY='--insecure-registry a'\nother_args=x\n"},
			unit:     "docker.service",
			counts:   []string{"/etc/sysconfig/docker INSECURE_REGISTRY", "/etc/sysconfig/docker OPTIONS"},
			ignored:  []string{"/etc/sysconfig/docker other_args"},
			why:      "docker.service reads it, but its ExecStart does not use $other_args",
			insecure: []string{"b", "a"},
		},
		"another file of the same unit": {
			content:  map[string]string{unitPath: centosUnit, "/etc/sysconfig/docker-network": "DOCKER_NETWORK_OPTIONS='--insecure-registry a'\n", "/etc/sysconfig/docker-storage": "DOCKER_STORAGE_OPTIONS='-s overlay2'\n"},
			unit:     "docker.service",
			counts:   []string{"/etc/sysconfig/docker INSECURE_REGISTRY missing", "/etc/sysconfig/docker OPTIONS missing", "/etc/sysconfig/docker-network DOCKER_NETWORK_OPTIONS"},
			insecure: []string{"a"},
		},
		"a drop-in that starts it otherwise": {
			content:  map[string]string{unitPath: debianUnit, "/etc/default/docker": "DOCKER_OPTS=\n", dropIn: "[Service]\nExecStart=\nExecStart=/usr/bin/dockerd -H fd:// --insecure-registry a --config-file /srv/d.json\n"},
			unit:     "docker.service",
			counts:   []string{dropIn + " "},
			ignored:  []string{"/etc/default/docker DOCKER_OPTS"},
			why:      "docker.service reads it, but its ExecStart does not use $DOCKER_OPTS",
			insecure: []string{"a"},
			config:   "/srv/d.json", different: true,
		},
		"a drop-in that makes it read the file": {
			content:  map[string]string{unitPath: ceUnit, "/etc/default/docker": "export DOCKER_OPTS='--insecure-registry a\n --insecure-registry b'\n", dropIn: "[Service]\nEnvironmentFile=/etc/default/docker\nExecStart=\nExecStart=-/usr/bin/dockerd ${DOCKER_OPTS} $DOCKER_OPTS\n"},
			unit:     "docker.service",
			counts:   []string{"/etc/default/docker DOCKER_OPTS"},
			insecure: []string{"a", "b"},
		},
		"a drop-in that sets the variable": {
			content:  map[string]string{unitPath: debianUnit, dropIn: "[Service]\nEnvironment=\"DOCKER_OPTS=--insecure-registry=a\" X=1\nEnvironmentFile=\n"},
			unit:     "docker.service",
			counts:   []string{dropIn + " "},
			insecure: []string{"a"},
		},
		"drop-ins count by name, the nearer folder first": {
			content: map[string]string{
				unitPath: ceUnit,
				"/etc/systemd/system/docker.service.d/10.conf":     "[Service]\nExecStart=\nExecStart=/usr/bin/dockerd --insecure-registry a\n",
				"/usr/lib/systemd/system/docker.service.d/20.conf": "[Service]\nExecStart=\nExecStart=/usr/bin/dockerd --insecure-registry b\n",
				"/usr/lib/systemd/system/docker.service.d/10.conf": "[Service]\nExecStart=\nExecStart=/usr/bin/dockerd --insecure-registry c\n",
			},
			unit: "docker.service", counts: []string{"/usr/lib/systemd/system/docker.service.d/20.conf "}, insecure: []string{"b"},
		},
		"through a shell": {
			content:  map[string]string{unitPath: "[Service]\nEnvironmentFile=/etc/sysconfig/docker\nExecStart=/bin/sh -c '/usr/bin/docker-current daemon $OPTIONS 2>&1 | forward-journald'\n", "/etc/sysconfig/docker": "OPTIONS=--insecure-registry=a\n"},
			unit:     "docker.service",
			counts:   []string{"/etc/sysconfig/docker OPTIONS"},
			insecure: []string{"a"},
		},
		"a dollar that is none": {
			content: map[string]string{unitPath: strings.ReplaceAll(debianUnit, "$DOCKER_OPTS", "$$DOCKER_OPTS"), "/etc/default/docker": "DOCKER_OPTS=x\n"},
			unit:    "docker.service",
			ignored: []string{"/etc/default/docker DOCKER_OPTS"},
			why:     "docker.service reads it, but its ExecStart does not use $DOCKER_OPTS",
		},
		"masked": {
			content: map[string]string{unitPath: debianUnit, "/etc/systemd/system/docker.service": "-> /dev/null", "/etc/default/docker": "DOCKER_OPTS=x\n"},
			ignored: []string{"/etc/default/docker DOCKER_OPTS"},
			why:     "no systemd unit that is here reads it",
		},
		"none": {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := machine.Look(machine.Options{GOOS: "linux", FS: live(tt.content)}).Docker.Daemon
			if !d.Systemd || d.Unit != tt.unit || !slices.Equal(short(d.FlagFiles), tt.counts) || !slices.Equal(short(d.Ignored), tt.ignored) {
				t.Errorf("got %+v", d)
			}
			if len(d.Ignored) > 0 && d.Ignored[0].Why != tt.why {
				t.Errorf("why: %q", d.Ignored[0].Why)
			}
			if !slices.Equal(d.InsecureFlags, tt.insecure) || tt.different && (d.ConfigFile != tt.config || !d.Explicit) {
				t.Errorf("flags: %+v", d)
			}
			tree := maps.Clone(tt.content)
			if tree == nil || strings.HasPrefix(name, "masked") {
				return
			}
			inTree := machine.Look(machine.Options{GOOS: "linux", Root: "/srv/image", FS: files(tree)}).Docker.Daemon
			if inTree.Unit != d.Unit || !slices.Equal(short(inTree.FlagFiles), short(d.FlagFiles)) {
				t.Errorf("a tree has %+v", inTree)
			}
		})
	}
}

func show(lines string) func(string) (map[string]string, error) {
	return func(unit string) (map[string]string, error) {
		if unit != "docker.service" {
			return nil, errors.New("no such unit")
		}
		m := map[string]string{}
		for line := range strings.Lines(lines) {
			key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
			if old := m[key]; old != "" {
				value = old + "\n" + value
			}
			m[key] = value
		}
		return m, nil
	}
}

// debianShown is what systemctl show printed for Debian's unit.
const debianShown = `ExecStart={ path=/usr/sbin/dockerd ; argv[]=/usr/sbin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock $DOCKER_OPTS ; ignore_errors=no ; start_time=[Tue 2026-11-24 10:00:00 UTC] ; stop_time=[n/a] ; pid=47 ; code=(null) ; status=0/0 }
EnvironmentFiles=/etc/default/docker (ignore_errors=yes)
FragmentPath=/lib/systemd/system/docker.service
DropInPaths=
NeedDaemonReload=no
MainPID=47
`

func TestWhatSystemdSaysCounts(t *testing.T) {
	t.Parallel()
	var (
		expanded = dockerd(47, "-H", "fd://", "--containerd=/run/containerd/containerd.sock", "--insecure-registry", "192.0.2.2:5000")
		content  = map[string]string{"/lib/systemd/system/docker.service": debianUnit, "/etc/default/docker": "DOCKER_OPTS=--insecure-registry=later\n"}
	)
	for name, tt := range map[string]struct {
		shown   string
		process []running
		more    map[string]string
		unit    string
		reload  bool
		counts  []string
		ignored []string
	}{
		"Debian's": {shown: debianShown, process: []running{expanded}, unit: "docker.service", counts: []string{"/etc/default/docker DOCKER_OPTS"}},
		"not running": {
			shown: strings.Replace(debianShown, "MainPID=47", "MainPID=0", 1), unit: "docker.service",
			counts: []string{"/etc/default/docker DOCKER_OPTS"},
		},
		"changed on disk since": {
			shown: strings.Replace(debianShown, "Reload=no", "Reload=yes", 1), process: []running{expanded}, unit: "docker.service", reload: true,
			more:   map[string]string{"/lib/systemd/system/docker.service": ceUnit},
			counts: []string{"/etc/default/docker DOCKER_OPTS"},
		},
		"a drop-in": {
			shown: "ExecStart={ path=/usr/sbin/dockerd ; argv[]=/usr/sbin/dockerd -H fd:// --insecure-registry a ; ignore_errors=no ; pid=47 }\n" +
				"EnvironmentFiles=/etc/default/docker (ignore_errors=yes)\nEnvironmentFiles=/etc/x (ignore_errors=no)\n" +
				"FragmentPath=/lib/systemd/system/docker.service\nDropInPaths=" + dropIn + "\nNeedDaemonReload=no\nMainPID=47\n",
			process: []running{expanded}, unit: "docker.service",
			more:    map[string]string{dropIn: "[Service]\nExecStart=\nExecStart=/usr/sbin/dockerd -H fd:// --insecure-registry a\n"},
			counts:  []string{dropIn + " "},
			ignored: []string{"/etc/default/docker DOCKER_OPTS"},
		},
		"another dockerd": {
			shown: debianShown, process: []running{dockerd(99, "-H", "fd://")},
			ignored: []string{"/etc/default/docker DOCKER_OPTS"},
		},
		"started by its shell": {
			shown: debianShown, unit: "docker.service", counts: []string{"/etc/default/docker DOCKER_OPTS"},
			process: []running{{pid: 48, parent: 47, exe: expanded.exe, mnt: expanded.mnt, args: expanded.args}},
		},
		"of no parent that is seen": {
			shown:   strings.Replace(debianShown, "MainPID=47", "MainPID=0", 1),
			process: []running{{pid: 99, exe: expanded.exe, mnt: expanded.mnt, args: []string{"/usr/bin/dockerd"}}},
			ignored: []string{"/etc/default/docker DOCKER_OPTS"},
		},
		"not loaded": {
			shown: "LoadState=not-found\nExecStart=\nFragmentPath=\nMainPID=0\n", process: []running{expanded}, unit: "docker.service",
			counts: []string{"/etc/default/docker DOCKER_OPTS"},
		},
		"garbage": {
			shown: "ExecStart={ argv[]=\nFragmentPath=../x\nMainPID=many\n", process: []running{expanded}, unit: "docker.service",
			counts: []string{"/etc/default/docker DOCKER_OPTS"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := maps.Clone(content)
			maps.Copy(all, tt.more)
			d := machine.Look(machine.Options{GOOS: "linux", FS: live(all, tt.process...), Show: show(tt.shown)}).Docker.Daemon
			if d.Unit != tt.unit || d.NeedsReload != tt.reload || !slices.Equal(short(d.FlagFiles), tt.counts) || !slices.Equal(short(d.Ignored), tt.ignored) {
				t.Errorf("got %+v", d)
			}
			want := []string{"192.0.2.2:5000"} // argv says what holds, not the file
			switch {
			case len(tt.process) == 0:
				want = []string{"later"}
			case tt.process[0].pid == 99:
				want = nil
			}
			if !slices.Equal(d.InsecureFlags, want) {
				t.Errorf("flags are %q, want %q", d.InsecureFlags, want)
			}
		})
	}
}

func TestUnitIsTheOneOfTheControlGroup(t *testing.T) {
	t.Parallel()
	p := dockerd(7)
	for cgroup, want := range map[string]string{
		"0::/system.slice/docker-ce.service\n":                                 "docker-ce.service",
		"12:pids:/system.slice/docker-ce.service\n1:name=systemd:/x.service\n": "docker-ce.service",
		"0::/user.slice/user-0.slice/session-1.scope\n":                        "docker.service",
		"0::/system.slice/cron.service\n":                                      "",
		"0::/../../etc/-x.service\n":                                           "docker.service",
	} {
		p.cgroup = cgroup
		d := machine.Look(machine.Options{GOOS: "linux", FS: live(map[string]string{
			unitPath: ceUnit, "/etc/systemd/system/docker-ce.service": ceUnit, "/lib/systemd/system/cron.service": "[Service]\nExecStart=/usr/sbin/cron -f\n",
		}, p)}).Docker.Daemon
		if d.Unit != want {
			t.Errorf("%q: unit is %q, want %q", cgroup, d.Unit, want)
		}
	}
}

func TestScriptsCountWhereSystemdDoesNotRun(t *testing.T) {
	t.Parallel()
	const (
		sysv    = "#!/bin/sh\nBASE=docker\nDOCKER_OPTS=\nif [ -f /etc/default/$BASE ]; then\n\t. /etc/default/$BASE\nfi\nstart-stop-daemon --exec $DOCKERD -- $DOCKER_OPTS\n"
		upstart = "script\n\tif [ -f /etc/default/$UPSTART_JOB ]; then\n\t\t. /etc/default/$UPSTART_JOB\n\tfi\n\texec \"$DOCKERD\" $DOCKER_OPTS --raw-logs\nend script\n"
		redhat  = "#!/bin/sh\n[ -e /etc/sysconfig/$prog ] && . /etc/sysconfig/$prog\n$exec $other_args >> $logfile 2>&1 &\n"
		openrc  = "#!/sbin/openrc-run\ncommand=\"${DOCKERD_BINARY:-/usr/bin/dockerd}\"\ncommand_args=\"${DOCKER_OPTS}\"\n"
		opts    = "DOCKER_OPTS=\"--insecure-registry a\"\n"
	)
	for name, tt := range map[string]struct {
		content         map[string]string
		counts, ignored []string
		why             string
	}{
		"System V": {
			map[string]string{"/etc/init.d/docker": sysv, "/etc/default/docker": opts, unitPath: ceUnit},
			[]string{"/etc/default/docker DOCKER_OPTS"},
			nil, "/etc/init.d/docker reads it, and uses $DOCKER_OPTS",
		},
		"upstart": {
			map[string]string{"/etc/init.d/docker": sysv, "/etc/init/docker.conf": upstart, "/etc/default/docker": opts},
			[]string{"/etc/default/docker DOCKER_OPTS"},
			nil, "/etc/init/docker.conf reads it, and uses $DOCKER_OPTS",
		},
		"Red Hat 6": {
			map[string]string{"/etc/init.d/docker": redhat, "/etc/sysconfig/docker": "other_args='--insecure-registry=a'\n", "/etc/default/docker": opts},
			[]string{"/etc/sysconfig/docker other_args"},
			[]string{"/etc/default/docker DOCKER_OPTS"},
			"/etc/init.d/docker reads it, and uses $other_args",
		},
		"OpenRC": {
			map[string]string{"/etc/init.d/docker": openrc, "/etc/conf.d/docker": opts},
			[]string{"/etc/conf.d/docker DOCKER_OPTS"},
			nil, "/etc/init.d/docker reads it, and uses $DOCKER_OPTS",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := machine.Look(machine.Options{GOOS: "linux", FS: files(tt.content)}).Docker.Daemon
			if d.Systemd || d.Unit != "" || !slices.Equal(short(d.FlagFiles), tt.counts) || !slices.Equal(short(d.Ignored), tt.ignored) {
				t.Fatalf("got %+v", d)
			}
			if d.FlagFiles[0].Why != tt.why || !slices.Equal(d.InsecureFlags, []string{"a"}) {
				t.Errorf("got %+v", d)
			}
		})
	}
	d := machine.Look(machine.Options{GOOS: "linux", FS: files(map[string]string{"/etc/default/docker": opts})}).Docker.Daemon
	if len(d.FlagFiles) > 0 || len(d.Ignored) != 1 || d.Ignored[0].Why != "nothing that is here starts Docker with it" {
		t.Errorf("without anything that starts it: %+v", d)
	}
}
