package doctor_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/vicr-cli/vicr/internal/doctor"
	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/testkit"
)

func TestEngines(t *testing.T) {
	t.Parallel()
	containerd := [][2]string{{"driver-type", "io.containerd.snapshotter.v1"}}
	const refused = `failed to authorize: failed to fetch oauth token: Post "https://h/token": tls: failed to verify certificate: x509: certificate signed by unknown authority`
	for name, tt := range map[string]struct {
		version, message string
		containerd       bool
		engine, store    doctor.Verdict
		words            []string
	}{
		"trusts":         {"28.2.2", notFound, false, doctor.OK, doctor.OK, []string{"docker 28.2.2 trusts"}},
		"not trusted":    {"28.2.2", "x509: certificate signed by unknown authority", false, doctor.Fail, doctor.OK, []string{"--for docker"}},
		"folder":         {"28.2.2", "missing key client.key for client certificate client.cert", false, doctor.Fail, doctor.OK, []string{"cannot use a file", "ls -la /etc/docker/certs.d/"}},
		"unreachable":    {"28.2.2", "dial tcp 192.0.2.1:443: i/o timeout", false, doctor.Fail, doctor.OK, []string{"its proxy is not yours"}},
		"odd":            {"28.2.2", "\x1b[2J", false, doctor.Warn, doctor.OK, []string{`\x1b[2J`}},
		"bug":            {"29.4.3", refused, true, doctor.OK, doctor.Fail, []string{"see engine store"}},
		"bug, odd build": {"library-import", refused, true, doctor.OK, doctor.Fail, nil},
		"may have bug":   {"29.0.1", notFound, true, doctor.OK, doctor.Warn, nil},
		"mended":         {"29.5.0", notFound, true, doctor.OK, doctor.OK, nil},
		"realm refused":  {"29.5.0", refused, true, doctor.OK, doctor.Fail, nil},
		"no number":      {"", notFound, true, doctor.OK, doctor.OK, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			info := map[string]any{"ServerVersion": tt.version, "Driver": "overlayfs"}
			if tt.containerd {
				info["DriverStatus"] = containerd
			}
			w := newWorld(t).trusting().engine(t, info, tt.message)
			r := w.run(t, "")
			safe(t, r)
			wants(t, r, "engine", tt.engine, tt.words...)
			wants(t, r, "engine store", tt.store)
		})
	}
}

func TestEnginesThatAreNotThere(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		docker machine.Docker
		v      doctor.Verdict
		word   string
	}{
		"none":    {machine.Docker{}, doctor.Skip, "there is none here"},
		"down":    {machine.Docker{Found: true, Evidence: "folder /etc/docker\x1b"}, doctor.Skip, "none runs here now"},
		"remote":  {machine.Docker{Remote: true, Endpoint: "tcp://box.corp:2376"}, doctor.Skip, `"box.corp"`},
		"far":     {machine.Docker{Remote: true}, doctor.Skip, "another machine"},
		"unknown": {machine.Docker{Found: true, Problem: `docker context "nope": there is no such context` + "\x1b"}, doctor.Warn, "there is no such context"},
		"gone":    {machine.Docker{Found: true, Socket: "/nowhere/docker.sock"}, doctor.Warn, "docker info"},
		"a file":  {machine.Docker{Found: true, Socket: file(t)}, doctor.Warn, "docker info"},
		"garbage": {machine.Docker{Found: true, Socket: garbage(t)}, doctor.Warn, "docker info"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t).trusting()
			w.o.Machine.Docker = tt.docker
			r := w.run(t, "")
			safe(t, r)
			wants(t, r, "engine", tt.v, tt.word)
		})
	}
}

func TestRootlessEngineIsAskedToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t).trusting().engine(t, map[string]any{"ServerVersion": "28.2.2"}, notFound)
	w.o.Machine.Docker.Variants = []machine.Variant{{Kind: machine.Rootless, Socket: testkit.EngineSaying(t, "x509: certificate signed by unknown authority", nil)}}
	r := w.run(t, "")
	safe(t, r)
	wants(t, r, "engine", doctor.Fail, "docker 28.2.2 trusts", "rootless docker at", "does not trust")
}

func file(t *testing.T) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), "docker.sock")
	if err := os.WriteFile(p, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

func garbage(t *testing.T) string {
	t.Helper()
	p := stuckSocket(t) + "2"
	l, err := net.Listen("unix", p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(c, "\x1b[2J\r\n\r\n")
			c.Close()
		}
	}()
	return p
}

func TestInsecure(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		kind string
		list func(*world) []string
		v    doctor.Verdict
		word string
	}{
		"loopback":     {"trusted", func(*world) []string { return nil }, doctor.OK, "proves little"},
		"listed":       {"trusted", func(w *world) []string { return []string{w.host} }, doctor.Warn, "though its CA is installed"},
		"without a CA": {"unknown", func(w *world) []string { return []string{w.host} }, doctor.Warn, "vicr trust"},
		"a network":    {"trusted", func(*world) []string { return []string{"0.0.0.0/0"} }, doctor.Warn, "0.0.0.0/0"},
		"plain":        {"plain", func(w *world) []string { return []string{w.host} }, doctor.OK, ""},
		"another port": {"plain", func(*world) []string { return []string{"127.0.0.1:1"} }, doctor.Warn, "127.0.0.1:1 stands in"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := story{plain: tt.kind == "plain", unknown: tt.kind == "unknown"}.world(t)
			info := testkit.Insecure(tt.list(w)...)
			if name == "another port" || name == "a network" {
				info["RegistryConfig"].(map[string]any)["InsecureRegistryCIDRs"] = []string{}
			}
			if name == "a network" {
				info["RegistryConfig"].(map[string]any)["InsecureRegistryCIDRs"] = []string{"0.0.0.0/0"}
			}
			r := w.engine(t, info, notFound).run(t, "")
			safe(t, r)
			wants(t, r, "insecure", tt.v, tt.word)
		})
	}
}

// Before Docker 25 BuildKit has lists of its own.
func TestBuildKitOfAnOldEngine(t *testing.T) {
	t.Parallel()
	const restart = "only when docker was restarted"
	for name, tt := range map[string]struct {
		version       string
		plain, listed bool
		v             doctor.Verdict
		word          string
		restart       bool
	}{
		"old, listed":     {"20.10.24+dfsg1", true, true, doctor.Warn, "DOCKER_BUILDKIT=0", false},
		"old, unverified": {"24.0.9", false, true, doctor.Warn, "or bring Docker to 25", false},
		"old, plain":      {"24.0.9", true, false, doctor.Skip, "plain HTTP", false},
		"old, a CA":       {"24.0.9", false, false, doctor.Warn, "BUILDKIT_NO_CLIENT_TOKEN=1", true},
		"new, listed":     {"25.0.0", true, true, doctor.Skip, "plain HTTP", false},
		"new, a CA":       {"25.0.0", false, false, doctor.Warn, "BUILDKIT_NO_CLIENT_TOKEN=1", false},
		"no number":       {"library-import", true, true, doctor.Skip, "plain HTTP", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := story{plain: tt.plain}.world(t)
			list := []string{"192.0.2.1:1"}
			if tt.listed {
				list = append(list, w.host)
			}
			info := testkit.Insecure(list...) // and 127.0.0.0/8, which BuildKit knows by itself
			info["ServerVersion"] = tt.version
			r := w.engine(t, info, notFound).run(t, "")
			safe(t, r)
			wants(t, r, "buildkit", tt.v, tt.word)
			if got := strings.Contains(check(t, r, "buildkit").Seen, restart); got != tt.restart {
				t.Errorf("a word about a restart: %v", got)
			}
		})
	}
}

// The list that SSL_CERT_DIR is would end at the colon of docker's folder.
func TestCAOfDockersFolderForTheClient(t *testing.T) {
	t.Parallel()
	w := newWorld(t).engine(t, docker28(), notFound)
	file := "/etc/docker/certs.d/" + w.host + "/ca.crt"
	w.fsys[file[1:]] = &fstest.MapFile{Data: w.ca.PEM()}
	wants(t, w.run(t, ""), "buildkit", doctor.Warn, "SSL_CERT_FILE="+file+" docker build")
}
