package trust_test

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/trust"
)

func TestFlagThatCannotBeEditedIsAConflict(t *testing.T) {
	t.Parallel()
	unit := func(exec string) map[string]string {
		return map[string]string{"/usr/lib/systemd/system/docker.service": "[Service]\nExecStart=" + exec + "\n"}
	}
	const drop = "/etc/systemd/system/docker.service.d/10-registry.conf"
	running := map[string]string{
		"/run/docker.pid": "77\n", "/var/run/docker.pid": "77\n",
		"/proc/77/cmdline": "/usr/bin/dockerd\x00--insecure-registry\x00other.corp\x00", "/proc/77/comm": "dockerd\n",
		"/proc/77/status": "Name:\tdockerd\nPPid:\t1\nUid:\t0\t0\t0\t0\n",
		"/proc/77/stat":   "77 (dockerd) S 1 77 77 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 4321 0 0\n",
	}
	for name, tt := range map[string]struct {
		fs          map[string]string
		flag, where string
		file        string
	}{
		"in the unit":     {join(dockerHere(), systemdHere(), unit("/usr/bin/dockerd --insecure-registry other.corp")), "other.corp", "/usr/lib/systemd/system/docker.service:2", ""},
		"in a drop-in":    {join(dockerHere(), systemdHere(), unit("/usr/bin/dockerd"), map[string]string{drop: "[Service]\nExecStart=\nExecStart=/usr/bin/dockerd --insecure-registry=other.corp\n"}), "other.corp", drop + ":3", ""},
		"from nowhere":    {join(dockerHere(), running), "other.corp", "the command line of dockerd", ""},
		"in both":         {join(dockerHere(), systemdHere(), debianUnit(), map[string]string{"/etc/default/docker": "\nDOCKER_OPTS=\"--insecure-registry other.corp\"\n", "/etc/docker/daemon.json": `{"insecure-registries":[]}`}), "other.corp", "/etc/default/docker:2", "/etc/docker/daemon.json"},
		"in unit and key": {join(dockerHere(), systemdHere(), unit("/usr/bin/dockerd --insecure-registry other.corp"), map[string]string{"/etc/docker/daemon.json": `{"insecure-registries":["x.corp"]}`}), "other.corp", "/usr/lib/systemd/system/docker.service:2", "/etc/docker/daemon.json"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := row{fs: tt.fs, tools: "docker", ask: "http"}
			p, err := trust.Plan(r.machine(), r.request(t))
			var conflict *trust.ConflictError
			if !errors.As(err, &conflict) || len(p.Machine) > 0 {
				t.Fatalf("got %v, planned %v", err, p.Machine)
			}
			if strings.Join(conflict.Flag, " ") != tt.flag || conflict.Where != tt.where || conflict.File != tt.file {
				t.Errorf("got %+v", conflict)
			}
			for _, part := range []string{tt.flag, tt.where, tt.file} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q is not said: %v", part, err)
				}
			}
			r.ask = "" // a CA is no conflict
			if p := plan(t, r.machine(), r.request(t)); len(p.Machine) != 1 {
				t.Errorf("for a CA planned are %v", p.Machine)
			}
		})
	}
}

// dockerd judges the new daemon.json beside the flags that it runs with, but
// for the one that names the file.
func TestTheFileIsJudgedBesideTheFlags(t *testing.T) {
	t.Parallel()
	for cmdline, want := range map[string]string{
		"":                                     "",
		"-H fd:// --config-file /etc/x.json":   "-H fd://",
		"--config-file=/etc/x.json -H fd://":   "-H fd://",
		"-D --config-file=/etc/x.json":         "-D",
		"-D --config-file":                     "-D",
		"--config-files=x --dns 192.0.2.53":    "--config-files=x --dns 192.0.2.53",
		"-D -- --config-file=/etc/x.json -H x": "-D",
	} {
		running := process()
		running["/proc/77/cmdline"] = strings.ReplaceAll(strings.TrimSpace("/usr/bin/dockerd "+cmdline), " ", "\x00") + "\x00"
		r := row{fs: join(dockerHere(), running), tools: "docker", ask: "http"}
		words := strings.Fields("/usr/bin/dockerd --validate " + want + " --config-file {}")
		checked := 0
		for _, s := range plan(t, r.machine(), r.request(t)).Machine {
			if s.Op != change.OpEdit {
				continue
			}
			if checked++; !slices.Equal(s.Check, words) {
				t.Errorf("%q: judged by %q, want %q", cmdline, s.Check, words)
			}
		}
		if checked == 0 {
			t.Errorf("%q: nothing is judged", cmdline)
		}
	}
}

func TestWideNetworksAreRefused(t *testing.T) {
	t.Parallel()
	for network, bits := range map[string]int{
		"10.0.0.0/8": 24, "10.20.0.0/23": 24, "0.0.0.0/0": 24, "::/0": 64, "2001:db8::/63": 64, "::ffff:10.0.0.0/100": 24, "126.0.0.0/7": 24, "127.0.0.0/7": 24,
		"10.20.30.0/24": 0, "10.20.30.40/32": 0, "127.0.0.0/8": 0, "127.1.0.0/16": 0, "2001:db8::/64": 0, "fd00::1/128": 0,
	} {
		_, err := trust.Plan(look(machineOptions()), trust.Request{Network: netip.MustParsePrefix(network), Insecure: true})
		var wide *trust.WideNetworkError
		if errors.As(err, &wide) != (bits > 0) || bits > 0 && wide.Bits != bits || bits == 0 && err != nil {
			t.Errorf("%s: %v", network, err)
		}
	}
}

func TestRequestsThatContradictThemselvesAreRefused(t *testing.T) {
	t.Parallel()
	h, n, pair := host(t, "registry.corp"), netip.MustParsePrefix("10.0.0.0/24"), &pki.Pair{Cert: []byte("c"), Key: []byte("k")}
	for name, r := range map[string]trust.Request{
		"host and network":      {Host: h, Network: n, Insecure: true},
		"network and CA":        {Network: n, Anchor: pki.Anchor{Cert: certificate(t, "ca.crt")}},
		"insecure with a pair":  {Host: h, Insecure: true, Client: pair},
		"pair without a host":   {Client: pair},
		"insecure without host": {Insecure: true},
	} {
		if p, err := trust.Plan(look(machineOptions()), r); err == nil || len(p.User)+len(p.Machine) > 0 {
			t.Errorf("%s: planned %v, %v", name, p, err)
		}
	}
}
