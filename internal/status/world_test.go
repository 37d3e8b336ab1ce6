package status_test

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/status"
	"github.com/vicr-cli/vicr/internal/testkit"
)

const (
	host     = "registry.example:5000"
	ownFile  = "/home/dev/.config/vicr/certs.d/registry.example_5000_/ca.crt"
	dockerCA = "/etc/docker/certs.d/" + host + "/ca.crt"
	podmanCA = "/etc/containers/certs.d/" + host + "/ca.crt"
)

// now is when all tests look, and booted when their machines began.
var (
	now    = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	booted = now.Add(-24 * time.Hour)
)

// world is a machine and what vicr recorded on it.
type world struct {
	files   fstest.MapFS
	machine machine.Machine
	entries []change.Entry
	options status.Options
	ca      *testkit.Cert
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{files: fstest.MapFS{}, ca: testkit.NewCA(t), options: status.Options{Now: now}}
	w.machine = machine.Machine{
		GOOS: "linux", Euid: -1, Home: "/home/dev", FS: w.files,
		Dirs:   machine.Dirs{Config: "/home/dev/.config/vicr", MachineState: "/var/lib/vicr"},
		Docker: machine.Docker{Found: true, CertsDir: "/etc/docker/certs.d", ConfigFile: "/etc/docker/daemon.json"},
		Podman: machine.PodmanFamily{
			Found: true, CertsDir: "/etc/containers/certs.d", UserCerts: "/home/dev/.config/containers/certs.d",
		},
		Containerd: machine.Containerd{Found: true, CertsDir: "/etc/containerd/certs.d"},
	}
	return w
}

// write puts a file into the machine.
func (w *world) write(path, data string, mode fs.FileMode) {
	w.files[machine.Name(path)] = &fstest.MapFile{Data: []byte(data), Mode: mode}
}

func (w *world) folder(path string) {
	w.files[machine.Name(path)] = &fstest.MapFile{Mode: fs.ModeDir | 0o755}
}

func (w *world) remove(path string) { delete(w.files, machine.Name(path)) }

func (w *world) fingerprint() string { return pki.SHA256(w.ca.Certificate).String() }

// trusts records an entry for h, an hour ago, and the CA in each of the files.
func (w *world) trusts(h string, records ...change.Record) *change.Entry {
	for i := range records {
		data := string(w.ca.PEM())
		if strings.HasSuffix(records[i].Path, ".key") {
			data = "a private key"
		}
		if records[i].After == nil {
			w.write(records[i].Path, data, 0o644)
			records[i].After = after(data, 0o644)
		}
	}
	w.entries = append(w.entries, change.Entry{
		ID: len(w.entries) + 1, State: change.StateDone, Time: now.Add(-time.Hour), Records: records,
		Subject: change.Subject{Host: h, Trust: change.Trust{Fingerprint: w.fingerprint(), How: "asked", NotAfter: now.Add(365 * 24 * time.Hour)}},
	})
	return &w.entries[len(w.entries)-1]
}

func after(data string, mode fs.FileMode) *change.Version {
	sum := sha256.Sum256([]byte(data))
	return &change.Version{SHA256: hex.EncodeToString(sum[:]), Size: int64(len(data)), Mode: mode}
}

// process adds one that began at a time.
func (w *world) process(pid int, exe string, began time.Time, args ...string) uint64 {
	dir := "/proc/" + strconv.Itoa(pid)
	comm := exe[strings.LastIndexByte(exe, '/')+1:]
	start := uint64(began.Sub(booted).Seconds() * 100)
	w.write("/proc/stat", "cpu 1 2\nbtime "+strconv.FormatInt(booted.Unix(), 10)+"\nprocesses 9\n", 0o444)
	w.write(dir+"/stat", strconv.Itoa(pid)+" ("+comm[:min(len(comm), 15)]+") S 1 1 1 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 9 0 "+
		strconv.FormatUint(start, 10)+" 1 1 1\n", 0o444)
	w.write(dir+"/cmdline", strings.Join(append([]string{exe}, args...), "\x00")+"\x00", 0o444)
	w.write(dir+"/status", "Name:\t"+comm+"\nNSpid:\t"+strconv.Itoa(pid)+"\n", 0o444)
	w.files[machine.Name(dir+"/exe")] = &fstest.MapFile{Data: []byte(exe), Mode: fs.ModeSymlink | 0o777}
	return start
}

func (w *world) look() status.Report { return status.Of(w.entries, w.machine, w.options) }

// only is the report's one finding.
func only(t *testing.T, r status.Report) status.Finding {
	t.Helper()
	if len(r.Registries) != 1 || len(r.Registries[0].Findings) != 1 {
		t.Fatalf("want one registry with one finding: %+v", r)
	}
	return r.Registries[0].Findings[0]
}
