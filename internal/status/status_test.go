package status_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/edit"
	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/status"
	"github.com/vicr-cli/vicr/internal/testkit"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing them")

func TestNothingRecordedIsWell(t *testing.T) {
	t.Parallel()
	if r := newWorld(t).look(); !r.OK || r.Registries == nil || len(r.Registries) != 0 {
		t.Errorf("%+v", r)
	}
}

// Every case begins with a registry that vicr and Docker trust, and is as vicr
// left it but for one thing.
func TestWhatIsFound(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(*world)
		kind   status.Kind
		path   string
		state  status.State // of docker
		text   string
		remedy string
	}{
		{
			"gone", func(w *world) { w.remove(dockerCA) },
			status.KindGone, dockerCA, status.Drift, "it is gone", "vicr trust " + host + " --fingerprint FP --for docker",
		},
		{
			"changed", func(w *world) { w.write(dockerCA, "something else", 0o644) },
			status.KindChanged, dockerCA, status.Drift, "it was changed since", "--for docker",
		},
		{
			"a folder in its place", func(w *world) { w.folder(dockerCA) },
			status.KindChanged, dockerCA, status.Drift, "something else is in its place", "--for docker",
		},
		{
			"a link in its place", func(w *world) {
				w.files[machine.Name(dockerCA)] = &fstest.MapFile{Mode: fs.ModeSymlink, Data: []byte("/tmp/ca.crt")}
			},
			status.KindChanged, dockerCA, status.Drift, `a symbolic link now, to "/tmp/ca.crt"`, "--for docker",
		},
		{
			"others may write it", func(w *world) { w.files[machine.Name(dockerCA)].Mode = 0o666 },
			status.KindMode, dockerCA, status.Drift, "mode is 0666, not 0644", "sudo chmod 0644 " + dockerCA,
		},
		{
			"others may not read it", func(w *world) { w.files[machine.Name(dockerCA)].Mode = 0o600 },
			status.KindMode, dockerCA, status.Drift, "cannot read it", "sudo chmod 0644 " + dockerCA,
		},
		{
			"a folder that containerd reads first", func(w *world) { w.folder("/etc/docker/certs.d/registry.example_5000_") },
			status.KindShadowed, "/etc/docker/certs.d/registry.example_5000_", status.Drift, "reads this folder instead",
			"sudo rmdir /etc/docker/certs.d/registry.example_5000_",
		},
		{
			"interrupted", func(w *world) { w.entries[0].State = change.StateOpen; w.remove(dockerCA) },
			status.KindInterrupted, "", status.Pending, "the next run puts it in order", "vicr trust " + host,
		},
		{
			"left", func(w *world) { w.entries[0].State = change.StateLeft; w.write(dockerCA, "x", 0o644) },
			status.KindLeft, dockerCA, status.Drift, "vicr untrust left it as it is", "vicr untrust " + host + " --force",
		},
		{
			"a flag", func(w *world) { w.machine.Docker.Daemon.InsecureFlags = []string{"10.0.0.0/8", host} },
			status.KindInsecure, "", status.Drift, "--insecure-registry", "restart Docker",
		},
		{
			"expired", func(w *world) { w.entries[0].Subject.NotAfter = now.Add(-time.Minute) },
			status.KindExpired, "", status.OK, "expired on 2026-05-01", "vicr trust " + host + " --ca-file FILE",
		},
		{
			"13 days", func(w *world) { w.entries[0].Subject.NotAfter = now.Add(14*24*time.Hour - time.Second) },
			status.KindExpiring, "", status.OK, "in 13 days", "--ca-file FILE",
		},
		{
			"14 days", func(w *world) { w.entries[0].Subject.NotAfter = now.Add(14 * 24 * time.Hour) },
			status.KindRenew, "", status.OK, "in 14 days", "--ca-file FILE",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.trusts(host, change.Record{Tool: "vicr", Path: ownFile}, change.Record{Tool: "docker", Path: dockerCA})
			if r := w.look(); !r.OK || len(r.Registries[0].Findings) > 0 {
				t.Fatalf("before: %+v", r)
			}
			tt.change(w)
			r := w.look()
			f := only(t, r)
			want := strings.ReplaceAll(tt.remedy, "FP", w.fingerprint())
			if f.Kind != tt.kind || f.Path != tt.path || !strings.Contains(f.Text, tt.text) || !strings.Contains(f.Remedy, want) {
				t.Errorf("found %+v", f)
			}
			if got := r.Registries[0].Tools[1]; got.Tool != "docker" || got.State != tt.state {
				t.Errorf("docker is %+v, want %s", got, tt.state)
			}
			if r.OK == f.Counts() || f.Counts() != (tt.kind != status.KindRenew) {
				t.Errorf("OK %t with %s", r.OK, f.Kind)
			}
		})
	}
}

func TestAKeyThatOthersRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const key = "/home/dev/.config/vicr/certs.d/registry.example_5000_/client.key"
	w.trusts(host, change.Record{Tool: "vicr", Path: key, After: after("a private key", 0o600)})
	w.write(key, "a private key", 0o640)
	if f := only(t, w.look()); f.Kind != status.KindMode || f.Path != key || f.Remedy != "chmod 0600 "+key || !strings.Contains(f.Text, "others can read") {
		t.Errorf("found %+v", f)
	}
}

// A file that was to be removed is right when it is not there.
func TestAFileThatIsBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.trusts(host, change.Record{Tool: "docker", Path: dockerCA})
	w.entries[0].Records[0].After = nil
	if f := only(t, w.look()); f.Kind != status.KindChanged || !strings.Contains(f.Text, "there again") {
		t.Errorf("found %+v", f)
	}
	w.remove(dockerCA)
	if r := w.look(); !r.OK {
		t.Errorf("%+v", r)
	}
}

// The first folder that is there counts for Podman, also when it is empty.
func TestPodmanReadsTheUsersFolderFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.trusts(host, change.Record{Tool: "podman", Path: podmanCA})
	own := w.machine.Podman.UserCerts + "/" + host
	w.folder(own)
	if f := only(t, w.look()); f.Kind != status.KindShadowed || f.Path != own || f.Remedy != "rmdir "+own {
		t.Errorf("empty: %+v", f)
	}
	w.write(own+"/other.crt", string(testkit.NewCA(t).PEM()), 0o644)
	if f := only(t, w.look()); f.Kind != status.KindShadowed || f.Remedy != "mv "+own+" "+own+".away" {
		t.Errorf("with another CA: %+v", f)
	}
	w.write(own+"/ca.crt", string(w.ca.PEM()), 0o644)
	if r := w.look(); !r.OK {
		t.Errorf("with the CA: %+v", r)
	}
	// A folder of Docker's comes last for Podman.
	w.folder("/etc/docker/certs.d/" + host)
	if r := w.look(); !r.OK {
		t.Errorf("with Docker's folder: %+v", r)
	}
}

// A registry that was insecure and has a CA now: the last edit counts.
func TestTheLastEditOfAThingDecides(t *testing.T) {
	t.Parallel()
	on := edit.Edit{Format: edit.JSON, Key: "insecure-registries", Value: host}
	off := on
	off.Remove = true
	const file = "/etc/docker/daemon.json"
	for _, tt := range []struct {
		name  string
		edits []edit.Edit
		data  string
		found string // "" if all is well
	}{
		{"put there, and there", []edit.Edit{on}, `{"insecure-registries":["` + host + `"]}`, ""},
		{"put there, and gone", []edit.Edit{on}, `{}`, "taken out"},
		{"taken out again, and gone", []edit.Edit{on, off}, `{}`, ""},
		{"taken out again, and back", []edit.Edit{on, off}, `{"insecure-registries":["` + host + `"]}`, "there again"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.trusts(host, change.Record{Tool: "vicr", Path: ownFile}, change.Record{Tool: "docker", Path: file, Edits: tt.edits, After: after("", 0o644)})
			w.write(file, tt.data, 0o644)
			r := w.look()
			for _, f := range r.Registries[0].Findings {
				if f.Kind == status.KindChanged && (tt.found == "" || !strings.Contains(f.Text, tt.found)) {
					t.Errorf("%+v", f)
				}
			}
			if drift := r.Registries[0].Tools[1].State == status.Drift; drift != (tt.found != "") {
				t.Errorf("%+v", r.Registries[0])
			}
		})
	}
}

func TestAnEntryThatIsNotBelieved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.trusts(host, change.Record{Tool: "docker", Path: dockerCA}).Doubt = "it names something"
	if f := only(t, w.look()); f.Kind != status.KindDoubt || !strings.Contains(f.Text, "it names something") || f.Remedy != "vicr untrust "+host+" --force" {
		t.Errorf("%+v", f)
	}
}

// A normal user cannot read the machine's journal: the files have to tell.
func TestTheMachinesPartWithoutItsJournal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.trusts(host, change.Record{Tool: "vicr", Path: ownFile})
	w.options.Unread = true
	if r := w.look(); !r.OK || len(r.Registries[0].Tools) != 1 {
		t.Errorf("nothing there: %+v", r)
	}
	w.write(dockerCA, string(w.ca.PEM()), 0o644)
	if r := w.look(); !r.OK || len(r.Registries[0].Tools) != 2 || r.Registries[0].Tools[1].State != status.OK {
		t.Errorf("the CA there: %+v", r)
	}
	w.write(dockerCA, string(testkit.NewCA(t).PEM()), 0o644)
	if f := only(t, w.look()); f.Kind != status.KindChanged || !strings.Contains(f.Text, "another CA") {
		t.Errorf("another CA there: %+v", f)
	}
	w.options.Hosts = []string{"other.example"}
	if f := only(t, w.look()); f.Kind != status.KindUnrecorded {
		t.Errorf("unknown: %+v", f)
	}
	w.folder("/var/lib/vicr")
	w.write("/etc/docker/certs.d/other.example/ca.crt", string(w.ca.PEM()), 0o644)
	if f := only(t, w.look()); f.Kind != status.KindUnseen || f.Remedy != "sudo vicr status other.example" {
		t.Errorf("perhaps root's: %+v", f)
	}
}

func TestTheMachinesPartOnWindowsIsForAnAdministrator(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.machine.GOOS, w.machine.Dirs.MachineState, w.machine.Docker.CertsDir = "windows", `C:\ProgramData\vicr`, `C:\ProgramData\docker\certs.d`
	w.options.Unread, w.options.Hosts = true, []string{"other.example"}
	w.folder(`C:\ProgramData\vicr`)
	w.write(`C:\ProgramData\docker\certs.d\other.example\ca.crt`, string(w.ca.PEM()), 0o644)
	if f := only(t, w.look()); f.Kind != status.KindUnseen || strings.Contains(f.Text+f.Remedy, "root") || strings.Contains(f.Remedy, "sudo") ||
		!strings.HasSuffix(f.Remedy, "as administrator: vicr status other.example") {
		t.Errorf("perhaps an administrator's: %+v", f)
	}
	w.trusts("other.example", change.Record{Tool: "docker", Path: `C:\ProgramData\docker\certs.d\other.example\ca.crt`})
	w.write(`C:\ProgramData\docker\certs.d\other.example\hosts.toml`, "x", 0o644)
	if f := only(t, w.look()); f.Kind != status.KindNote || strings.Contains(f.Remedy, "sudo") {
		t.Errorf("a file beside it: %+v", f)
	}
}

// What is beneath --root is spoken of with its path there.
func TestRemediesInATree(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.machine.Root, w.machine.Home = "/srv/my tree", ""
	w.trusts(host, change.Record{Tool: "docker", Path: dockerCA})
	w.files[machine.Name(dockerCA)].Mode = 0o666
	if f := only(t, w.look()); f.Remedy != "chmod 0644 '/srv/my tree"+dockerCA+"'" {
		t.Errorf("%+v", f)
	}
	w.remove(dockerCA)
	if f := only(t, w.look()); !strings.HasSuffix(f.Remedy, " --root '/srv/my tree'") {
		t.Errorf("%+v", f)
	}
}

func TestNetworksAreNoHosts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.trusts("10.0.0.0/8", change.Record{Tool: "docker", Path: "/etc/docker/daemon.json"})
	e.Subject.Fingerprint, e.Subject.NotAfter = "", time.Time{}
	if r := w.look(); !r.OK || r.Registries[0].NotAfter != "" || r.Registries[0].DaysLeft != 0 {
		t.Errorf("%+v", r)
	}
	w.remove("/etc/docker/daemon.json")
	if f := only(t, w.look()); f.Remedy != "vicr trust 10.0.0.0/8 --insecure --for docker" {
		t.Errorf("%+v", f)
	}
}

// Programs rely on the fields: a change here breaks somebody's fleet.
func TestTheShapeForPrograms(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.trusts(host, change.Record{Tool: "vicr", Path: ownFile}, change.Record{Tool: "docker", Path: dockerCA})
	w.entries[0].Subject.Fingerprint = "sha256:" + strings.Repeat("0123456789abcdef", 4)
	w.remove(dockerCA)
	w.options.Hosts = []string{host, "unknown.example"}
	got, err := json.MarshalIndent(w.look(), "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	golden := filepath.Join("testdata", "report.json")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%v\n%s", err, got)
	}
}
