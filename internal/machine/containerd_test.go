package machine_test

import (
	"testing"

	"github.com/vicr-cli/vicr/internal/machine"
)

func TestContainerdConfigOfEachVersion(t *testing.T) {
	t.Parallel()
	const usual = "/etc/containerd/certs.d"
	for name, tt := range map[string]struct {
		config string
		want   machine.Containerd
	}{
		"Docker's package": {"disabled_plugins = [\"cri\"]\n", machine.Containerd{Version: 1, CertsDir: usual}},
		"version 1": {
			"[plugins.cri.registry.mirrors.\"docker.io\"]\n  endpoint = [\"https://x\"]\n",
			machine.Containerd{Version: 1, CRI: true, Mirrors: true, CertsDir: usual},
		},
		"version 2": {
			"version = 2\nimports = [\"/etc/containerd/conf.d/*.toml\"]\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\n  config_path = \"/etc/containerd/certs.d:/etc/docker/certs.d\"\n",
			machine.Containerd{Version: 2, CRI: true, Imports: true, ConfigPath: "/etc/containerd/certs.d:/etc/docker/certs.d", CertsDir: usual},
		},
		"version 2 with configs": {
			"version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry.configs.\"h:5000\".tls]\nca_file = \"/x\"\n",
			machine.Containerd{Version: 2, CRI: true, Mirrors: true, CertsDir: usual},
		},
		"version 3": {
			"version = 3\n[plugins.'io.containerd.cri.v1.images'.registry]\n  config_path = '/srv/certs.d'\n",
			machine.Containerd{Version: 3, CRI: true, ConfigPath: "/srv/certs.d", CertsDir: "/srv/certs.d"},
		},
		"version 4, disabled": {
			"version = 4\ndisabled_plugins = ['io.containerd.cri.v1.images']\n",
			machine.Containerd{Version: 4, CertsDir: usual},
		},
		"disabled by its name of version 2": {
			"version = 2\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n", machine.Containerd{Version: 2, CertsDir: usual},
		},
		"relative path":    {"version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"certs.d\"\n", machine.Containerd{Version: 2, CRI: true, ConfigPath: "certs.d", CertsDir: usual}},
		"no mirrors in it": {"version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors]\n", machine.Containerd{Version: 2, CRI: true, CertsDir: usual}},
		"other types":      {"[plugins]\ncri = 5\n[plugins.\"io.containerd.grpc.v1.cri\"]\nregistry = [1]\n", machine.Containerd{Version: 1, CRI: true, CertsDir: usual}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := machine.Look(machine.Options{GOOS: "linux", FS: files(map[string]string{"/etc/containerd/config.toml": tt.config})}).Containerd
			tt.want.Found, tt.want.Evidence, tt.want.ConfigFile = true, "file /etc/containerd/config.toml", "/etc/containerd/config.toml"
			if got != tt.want {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
	for _, broken := range []string{"version = ", "version = \"2\"", "\x00\xff", "disabled_plugins = 1"} {
		got := machine.Look(machine.Options{GOOS: "linux", FS: files(map[string]string{"/etc/containerd/config.toml": broken})}).Containerd
		if !got.Found || got.Problem == "" || got.CRI || got.CertsDir != usual {
			t.Errorf("%q: got %+v", broken, got)
		}
	}
}

func TestContainerdIsFoundByItsSigns(t *testing.T) {
	t.Parallel()
	look := func(root string, paths ...string) machine.Containerd {
		return machine.Look(machine.Options{GOOS: "linux", Root: root, Home: "/home/ann", FS: tree(paths...)}).Containerd
	}
	if c := look("", "/etc/hosts"); c.Found || c.CRI || c.ConfigFile == "" || c.CertsDir == "" || c.UserCerts != "/home/ann/.config/containerd/certs.d" {
		t.Errorf("nothing: %+v", c)
	}
	c := look("", "/run/containerd/containerd.sock=", "/usr/bin/containerd", "/usr/local/bin/nerdctl")
	if c.Evidence != "socket /run/containerd/containerd.sock, program /usr/bin/containerd, program /usr/local/bin/nerdctl" || !c.Nerdctl || !c.CRI || c.Version != 0 {
		t.Errorf("all: %+v", c)
	}
	if c := look("/srv/image", "/run/containerd/containerd.sock="); c.Found || c.Socket != "" || c.UserCerts != "" {
		t.Errorf("a tree: %+v", c)
	}
	for _, goos := range []string{"darwin", "windows"} {
		if c := machine.Look(machine.Options{GOOS: goos, FS: tree("/usr/bin/containerd")}).Containerd; c.Found || c.CertsDir != "" {
			t.Errorf("%s: %+v", goos, c)
		}
	}
}
