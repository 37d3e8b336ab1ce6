package status_test

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/status"
)

// The change was made an hour ago: a process from before has to be restarted.
func TestPendingRestarts(t *testing.T) {
	t.Parallel()
	before, since := now.Add(-2*time.Hour), now.Add(-time.Minute)
	const (
		toml = "/etc/buildkit/buildkitd.toml"
		yaml = "/etc/rancher/k3s/registries.yaml"
		rke2 = "/etc/rancher/rke2/registries.yaml"
		conf = "/etc/containerd/config.toml"
	)
	for _, tt := range []struct {
		name    string
		tool    string
		path    string
		restart string
		world   func(*world)
		want    status.Kind // "": nothing is found
	}{
		{"k3s from before", "k3s", yaml, "systemctl restart k3s", func(w *world) { w.process(70, "/usr/local/bin/k3s", before, "server") }, status.KindRestart},
		{"k3s since", "k3s", yaml, "systemctl restart k3s", func(w *world) { w.process(70, "/usr/local/bin/k3s", since, "server") }, ""},
		{"k3s at the very moment", "k3s", yaml, "systemctl restart k3s", func(w *world) { w.process(70, "/usr/local/bin/k3s", now.Add(-time.Hour-time.Second)) }, ""},
		{"k3s, restarted before another tool was set up", "k3s", yaml, "systemctl restart k3s", func(w *world) {
			w.process(70, "/usr/local/bin/k3s", before)
			w.files[machine.Name(yaml)].ModTime = before.Add(-time.Hour)
			w.files[machine.Name(yaml+".crt")].ModTime = before.Add(-time.Hour)
		}, ""},
		{"k3s, and rke2 is old", "k3s", yaml, "systemctl restart k3s-agent", func(w *world) { w.process(70, "/usr/local/bin/rke2", before) }, ""},
		{"rke2", "k3s", rke2, "systemctl restart rke2-server && systemctl restart rke2-agent", func(w *world) { w.process(70, "/usr/local/bin/rke2", before) }, status.KindRestart},
		{"nothing runs", "k3s", yaml, "systemctl restart k3s", func(*world) {}, ""},
		{"buildkitd", "buildkit", toml, "restart buildkitd", func(w *world) { w.process(70, "/usr/bin/buildkitd", before) }, status.KindRestart},
		{"containerd", "containerd", conf, "systemctl restart containerd", func(w *world) { w.process(70, "/usr/bin/containerd", before) }, status.KindRestart},
		{"dockerd's own containerd", "containerd", conf, "systemctl restart containerd", func(w *world) {
			w.process(70, "/usr/bin/containerd", before, "--config", "/var/run/docker/containerd/containerd.toml")
		}, ""},
		{"k3s's own containerd", "containerd", conf, "systemctl restart containerd", func(w *world) {
			w.process(70, "/var/lib/rancher/k3s/data/x/bin/containerd", before)
		}, ""},
		{"a container's containerd", "containerd", conf, "systemctl restart containerd", func(w *world) {
			w.process(70, "/usr/bin/containerd", before)
			w.write("/proc/70/status", "NSpid:\t70\t1\n", 0o444)
		}, ""},
		{"another user's k3s", "k3s", yaml, "systemctl restart k3s", func(w *world) {
			w.process(70, "/usr/local/bin/k3s", before, "server")
			w.write("/proc/70/cmdline", "/usr/local/bin/k3s server\x00", 0o444)
			w.remove("/proc/70/exe")
		}, status.KindRestart},
		{"dockerd from before", "docker", "/etc/docker/daemon.json", "systemctl restart docker", func(w *world) {
			w.machine.Docker.Daemon.Process = &machine.Process{Start: w.process(70, "/usr/bin/dockerd", before)}
		}, status.KindRestart},
		{"dockerd since", "docker", "/etc/docker/daemon.json", "systemctl restart docker", func(w *world) {
			w.machine.Docker.Daemon.Process = &machine.Process{Start: w.process(70, "/usr/bin/dockerd", since)}
		}, ""},
		{"no dockerd", "docker", "/etc/docker/daemon.json", "systemctl restart docker", func(*world) {}, ""},
		{"a snap's dockerd", "docker", "/var/snap/docker/current/config/daemon.json", "snap restart docker.dockerd", func(w *world) {
			w.machine.Docker.Daemon.Process = &machine.Process{Start: w.process(70, "/usr/bin/dockerd", before)}
			start := w.process(71, "/snap/docker/1/bin/dockerd", since)
			w.machine.Docker.Variants = []machine.Variant{{
				Kind: machine.Snap, ConfigFile: "/var/snap/docker/current/config/daemon.json",
				Daemon: machine.Daemon{Process: &machine.Process{Start: start}},
			}}
		}, ""},
		{"Desktop", "docker", "/home/dev/.docker/daemon.json", "systemctl --user restart docker-desktop", func(w *world) {
			w.process(70, "/opt/docker-desktop/bin/com.docker.backend", before)
		}, status.KindRestart},
		{"processes are hidden", "k3s", yaml, "systemctl restart k3s", func(w *world) { w.remove("/proc/1/stat") }, status.KindRestarted},
		{"a system without /proc", "docker", "/Users/dev/.docker/certs.d/x/ca.crt", "open -a Docker", func(w *world) { w.machine.GOOS = "darwin" }, status.KindRestarted},
		{"a tree", "k3s", yaml, "systemctl restart k3s", func(w *world) { w.machine.Root = "/srv/tree"; w.process(70, "/usr/local/bin/k3s", before) }, ""},
		{"nothing to restart", "k3s", yaml, "", func(w *world) { w.process(70, "/usr/local/bin/k3s", before) }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			records := []change.Record{{Tool: tt.tool, Path: tt.path, Restart: tt.restart}}
			if tt.tool != "docker" { // one restart is for all files
				records = append(records, change.Record{Tool: tt.tool, Path: tt.path + ".crt", Restart: tt.restart})
			}
			w.trusts(host, records...)
			w.process(1, "/sbin/init", booted)
			tt.world(w)
			r := w.look()
			tool := r.Registries[0].Tools[0]
			if tt.want == "" {
				if !r.OK || tool.State != status.OK || tool.Restart != "" || len(r.Registries[0].Findings) > 0 {
					t.Errorf("%+v", r)
				}
				return
			}
			if f := only(t, r); f.Kind != tt.want || f.Remedy != tt.restart || tool.State != status.Pending || tool.Restart != tt.restart {
				t.Errorf("%+v, %+v", f, tool)
			}
			if r.OK != (tt.want == status.KindRestarted) {
				t.Errorf("OK %t with %s", r.OK, tt.want)
			}
		})
	}
}

// A CA for the whole system counts once it is in the bundle.
func TestTheSystemsBundle(t *testing.T) {
	t.Parallel()
	const path, bundle = "/usr/local/share/ca-certificates/vicr.crt", "/etc/ssl/certs/ca-certificates.crt"
	w := newWorld(t)
	w.machine.System = machine.System{
		Family: "debian", Dir: "/usr/local/share/ca-certificates", Bundle: bundle, Update: []string{"/usr/sbin/update-ca-certificates"},
	}
	w.trusts(host, change.Record{Tool: "system", Path: path})
	if r := w.look(); !r.OK { // it cannot be seen, and nothing was left to be typed
		t.Errorf("no bundle: %+v", r)
	}
	w.write(bundle, "# others\n", 0o644)
	if f := only(t, w.look()); f.Kind != status.KindRestart || f.Remedy != "/usr/sbin/update-ca-certificates" {
		t.Errorf("not in the bundle: %+v", f)
	}
	w.write(bundle, "# others\n"+string(w.ca.PEM())+"# more\n", 0o644)
	if r := w.look(); !r.OK {
		t.Errorf("in the bundle: %+v", r)
	}
}

// Hostile files below /proc end nothing.
func TestProcessesThatMakeNoSense(t *testing.T) {
	t.Parallel()
	for _, stat := range []string{"", "x", "7 (k3s", "7 )k3s( S", "7 (k3s) S 1", "7 (k3s) Z" + strings.Repeat(" 1", 30), "7 (k3s) S" + strings.Repeat(" x", 30)} {
		w := newWorld(t)
		w.trusts(host, change.Record{Tool: "k3s", Path: "/etc/rancher/k3s/registries.yaml", Restart: "systemctl restart k3s"})
		w.process(1, "/sbin/init", booted)
		w.write("/proc/7/stat", stat, 0o444)
		w.files["proc/8"] = &fstest.MapFile{Mode: fs.ModeDir}
		if r := w.look(); !r.OK {
			t.Errorf("%q: %+v", stat, r)
		}
	}
}
