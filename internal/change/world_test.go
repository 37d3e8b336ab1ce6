//go:build unix

package change_test

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/atomicfile"
	"github.com/vicr-cli/vicr/internal/change"
)

const (
	hostA     = "registry.example.com"
	hostB     = "other.example.com:5000"
	journalAt = "/var/lib/vicr"
)

func subject(host string) change.Subject {
	return change.Subject{
		Host: host, Trust: change.Trust{
			Fingerprint: "sha256:00", How: "fingerprint",
			NotAfter: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC),
		},
	}
}

func certAt(host string) string { return "/etc/docker/certs.d/" + host + "/ca.crt" }

func writeStep(path, data string, mode fs.FileMode) change.Step {
	return change.Step{Tool: "docker", Path: path, Data: []byte(data), Mode: mode, DirMode: 0o755, Op: change.OpWrite}
}

// planA makes new files in new folders, changes one that is there, and removes one.
func planA() change.Plan {
	return change.Plan{
		writeStep(certAt(hostA), "ca", 0o644),
		writeStep(certAt(hostA+":443"), "ca", 0o644),
		writeStep("/etc/docker/daemon.json", `{"new":1}`, 0),
		{Tool: "docker", Path: "/etc/old.conf", Op: change.OpRemove},
	}
}

// planA2 is another plan for the same registry: it shares files with planA.
func planA2() change.Plan {
	return change.Plan{
		writeStep(certAt(hostA), "another ca", 0o644),
		writeStep("/etc/docker/daemon.json", `{"new":2}`, 0o644),
		writeStep("/etc/containers/certs.d/"+hostA+"/ca.crt", "another ca", 0o644),
	}
}

// world makes the machine of the tests.
func world(t *testing.T) string {
	t.Helper()
	root := fastDir(t)
	for _, dir := range []string{"etc/docker", "var/lib"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	put(t, root, "/etc/docker/daemon.json", `{"old":1}`, 0o640)
	put(t, root, "/etc/old.conf", "old", 0o600)
	if os.Geteuid() == 0 {
		if err := os.Chown(filepath.Join(root, "etc/docker/daemon.json"), 1234, 4321); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func put(t *testing.T, root, path, data string, mode fs.FileMode) {
	t.Helper()
	path = filepath.Join(root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(data), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// picture says what is beneath a folder: kind, mode, owner and bytes of all but
// what belongs to running processes.
type picture map[string]string

func look(t *testing.T, root string) picture {
	t.Helper()
	p := picture{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if path == filepath.Join(root, "run") { // what runs goes on
			return filepath.SkipDir
		}
		if err != nil || path == root {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		what := fmt.Sprintf("%v %d:%d", info.Mode(), st.Uid, st.Gid)
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			what += fmt.Sprintf(" %d bytes %x", len(data), sha256.Sum256(data))
		}
		p[strings.TrimPrefix(path, root)] = what
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// stamps are the times of last change of all beneath a folder: any write shows.
func stamps(t *testing.T, root string) map[string]time.Time {
	t.Helper()
	at := map[string]time.Time{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if path == filepath.Join(root, "run") {
			return filepath.SkipDir
		}
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			at[path] = info.ModTime()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// machine is the picture without the journal.
func (p picture) machine() picture {
	m := maps.Clone(p)
	maps.DeleteFunc(m, func(path, _ string) bool {
		return path == journalAt || strings.HasPrefix(path, journalAt+"/")
	})
	return m
}

func (p picture) String() string {
	var b strings.Builder
	for _, path := range slices.Sorted(maps.Keys(p)) {
		fmt.Fprintf(&b, "  %s %s\n", path, p[path])
	}
	return b.String()
}

func wantPicture(t *testing.T, what string, got, want picture) {
	t.Helper()
	if !maps.Equal(got, want) {
		t.Fatalf("%s: the machine is\n%swant\n%s", what, got, want)
	}
}

// open returns the tree and the journal beneath root.
func open(t *testing.T, root string) (*atomicfile.Tree, *change.Journal) {
	t.Helper()
	tree, err := atomicfile.Beneath(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tree.Close(); err != nil {
			t.Error(err)
		}
	})
	return tree, change.OpenJournal(tree, journalAt, options(root))
}

func apply(t *testing.T, j *change.Journal, host string, p change.Plan) {
	t.Helper()
	if err := j.Apply(t.Context(), subject(host), p, nil); err != nil {
		t.Fatal(err)
	}
}

func undo(t *testing.T, j *change.Journal, host string, force bool) change.Undo {
	t.Helper()
	u, err := j.Undo(t.Context(), host, force)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func entries(t *testing.T, j *change.Journal) []change.Entry {
	t.Helper()
	e, err := j.Entries(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return e
}
