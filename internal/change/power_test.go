//go:build unix

package change_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/vicr-cli/vicr/internal/atomicfile"
	"github.com/vicr-cli/vicr/internal/change"
)

// An op is one system call of a command, as a build with crash points logs it.
type op struct {
	Kind, Path, To string
	Data           []byte
	Mode           fs.FileMode
	Owner          *atomicfile.Owner
}

// powerFails asks of each command that its calls are in an order that outlives
// a power failure, and tries all states that a disk may be in after one: what
// was not synced may be there or not, in any combination.
func powerFails(t *testing.T, bin string) {
	t.Helper()
	none := func(*testing.T, *change.Journal) {}
	edited := func(t *testing.T, j *change.Journal) {
		t.Helper()
		apply(t, j, hostA, steps(insecure(j.Root(), hostA), change.OpWrite, change.OpEdit))
	}
	for _, c := range []crashCase{
		{name: "apply", verb: "apply", prepare: none},
		{name: "edit", verb: "edit", prepare: none},
		{name: "roll-back", verb: "apply-unproven", prepare: none},
		{name: "undo", verb: "undo", prepare: edited},
		{name: "undo beside another host", verb: "undo", prepare: func(t *testing.T, j *change.Journal) {
			t.Helper()
			apply(t, j, hostB, change.Plan{editStep(hostB)})
			edited(t, j)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := c.scene(t, bin)
			ops := logged(t, s)
			inOrder(t, ops)
			seen := map[string]bool{}
			for k := range len(ops) + 1 {
				for _, d := range diskAfter(t, s.start, ops[:k]) {
					if name := d.String(); !seen[name] {
						seen[name] = true
						s.outlives(t, k, d)
					}
				}
			}
			t.Logf("%d calls, %d states of the disk", len(ops), len(seen))
		})
	}
}

// logged runs the command and returns what it did, with paths as its machine
// has them.
func logged(t *testing.T, s scene) []op {
	t.Helper()
	root, log := clone(t, s.start), filepath.Join(t.TempDir(), "log")
	if how, out := run(t, s.bin, s.verb, root, "VICR_OP_LOG="+log); how != ended {
		t.Fatal(out)
	}
	data, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	var ops []op
	for line := range bytes.Lines(data) {
		var o op
		if err := json.Unmarshal(line, &o); err != nil {
			t.Fatal(err)
		}
		o.Path, o.To = strings.TrimPrefix(o.Path, root), strings.TrimPrefix(o.To, root)
		ops = append(ops, o)
	}
	if len(ops) < 10 {
		t.Fatalf("only %d calls were logged", len(ops))
	}
	return ops
}

// inOrder wants the bytes of a file on the disk before its name, and each name
// on the disk before the command ends.
func inOrder(t *testing.T, ops []op) {
	t.Helper()
	for i, o := range ops {
		later := func(kind, path string) int {
			return slices.IndexFunc(ops[i+1:], func(l op) bool { return l.Kind == kind && l.Path == path })
		}
		switch o.Kind {
		case "rename":
			synced := false
			for _, before := range ops[:i] {
				switch {
				case before.Path != o.Path:
				case before.Kind == "fsync":
					synced = true
				case before.Kind != "fsyncdir":
					synced = false
				}
			}
			if !synced {
				t.Errorf("%d: %s gets its name before its bytes are on the disk", i, o.To)
			}
			if later("fsyncdir", filepath.Dir(o.To)) < 0 {
				t.Errorf("%d: the name of %s is never synced", i, o.To)
			}
		case "remove", "mkdir":
			dir := filepath.Dir(o.Path)
			if later("fsyncdir", dir) < 0 && later("remove", dir) < 0 {
				t.Errorf("%d: %s of %s is never synced", i, o.Kind, o.Path)
			}
		}
	}
}

// A node is a file or folder on a disk.
type node struct {
	dir   bool
	data  []byte
	mode  fs.FileMode
	owner atomicfile.Owner
}

// A disk is what is there when the power is back.
type disk map[string]node

func (d disk) String() string {
	var b strings.Builder
	for _, path := range slices.Sorted(maps.Keys(d)) {
		if name := filepath.Base(path); strings.HasSuffix(name, ".tmp") {
			path = filepath.Dir(path) + "/temp" // the name is another one in each run
		}
		fmt.Fprintf(&b, "%s %+v\n", path, d[path])
	}
	return b.String()
}

// diskOf reads a machine.
func diskOf(t *testing.T, root string) disk {
	t.Helper()
	d := disk{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		n := node{dir: e.IsDir(), mode: info.Mode().Perm(), owner: atomicfile.Owner{UID: int(st.Uid), GID: int(st.Gid)}}
		if !n.dir {
			if n.data, err = os.ReadFile(path); err != nil {
				return err
			}
		}
		d[strings.TrimPrefix(path, root)] = n
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// diskAfter are all states of the disk when the power fails after the calls.
// A call is on the disk when what it changed was synced later. Each of the
// others is, or is not; of bytes also a half.
func diskAfter(t *testing.T, start string, ops []op) []disk {
	t.Helper()
	const most = 12 // calls that were not synced
	var open []int
	for i, o := range ops {
		kind, where := "fsync", o.Path
		switch o.Kind {
		case "create", "remove", "mkdir", "rename":
			kind, where = "fsyncdir", filepath.Dir(o.Path)
		case "write", "truncate", "attr":
			// The file may have got another name since.
			if slices.ContainsFunc(ops[i+1:], func(l op) bool { return l.Kind == "fsyncdir" && l.Path == filepath.Dir(o.Path) }) && o.Kind == "attr" {
				continue // of a folder
			}
		default:
			continue
		}
		if !slices.ContainsFunc(ops[i+1:], func(l op) bool { return l.Kind == kind && l.Path == where }) {
			open = append(open, i)
		}
	}
	// Whether the lock's file is there, and what is in it, counts for nobody.
	open = slices.DeleteFunc(open, func(i int) bool { return ops[i].Path == journalAt+"/lock" })
	if len(open) > most {
		t.Fatalf("%d calls are not synced after %d", len(open), len(ops))
	}
	var disks []disk
	for subset := range 1 << len(open) {
		gone := map[int]bool{}
		for bit, i := range open {
			gone[i] = subset&(1<<bit) == 0
		}
		disks = append(disks, play(diskOf(t, start), ops, gone, false))
		if slices.ContainsFunc(open, func(i int) bool { return ops[i].Kind == "write" && !gone[i] }) {
			disks = append(disks, play(diskOf(t, start), ops, gone, true))
		}
	}
	return disks
}

// play does the calls but those that are gone. With half the last bytes that
// were written came to the disk in part.
func play(d disk, ops []op, gone map[int]bool, half bool) disk {
	inode := map[string]*node{} // as the command saw them
	names := map[string]*node{} // as the disk has them
	for path, n := range d {
		inode[path] = &n
		names[path] = &n
	}
	for i, o := range ops {
		n := inode[o.Path]
		switch o.Kind {
		case "create", "mkdir":
			n = &node{dir: o.Kind == "mkdir", mode: 0o600, owner: atomicfile.Owner{UID: os.Geteuid(), GID: os.Getegid()}}
			if n.dir {
				n.mode = o.Mode
			}
			inode[o.Path] = n
			if !gone[i] {
				names[o.Path] = n
			}
		case "write":
			if !gone[i] {
				n.data = o.Data
				if _, open := gone[i]; open && half {
					n.data = o.Data[:len(o.Data)/2]
				}
			}
		case "attr":
			switch {
			case gone[i]:
			case o.Owner != nil:
				n.owner = *o.Owner
			case o.Mode != 0:
				n.mode = o.Mode.Perm()
			}
		case "rename":
			delete(inode, o.Path)
			inode[o.To] = n
			if !gone[i] {
				delete(names, o.Path)
				names[o.To] = n
			}
		case "remove":
			delete(inode, o.Path)
			if !gone[i] {
				for path := range names { // what a folder holds goes with it
					if path == o.Path || strings.HasPrefix(path, o.Path+"/") {
						delete(names, path)
					}
				}
			}
		}
	}
	after := disk{}
	for path, n := range names {
		if dir := names[filepath.Dir(path)]; dir != nil || filepath.Dir(path) == "/" {
			after[path] = *n
		}
	}
	return after
}

// outlives starts the machine again with this disk: recovery makes it as before
// the command or as after it.
func (s scene) outlives(t *testing.T, k int, d disk) {
	t.Helper()
	root := fastDir(t)
	for _, path := range slices.Sorted(maps.Keys(d)) {
		n, at := d[path], filepath.Join(root, path)
		var err error
		if n.dir {
			err = os.Mkdir(at, 0o700)
		} else {
			err = os.WriteFile(at, n.data, 0o600)
		}
		if os.IsNotExist(err) {
			continue // its folder is not there
		}
		if err == nil && os.Geteuid() == 0 {
			err = os.Chown(at, n.owner.UID, n.owner.GID)
		}
		if err == nil {
			err = os.Chmod(at, n.mode)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	_, j := open(t, root)
	if _, err := j.Recover(t.Context()); err != nil {
		t.Fatalf("after call %d: %v\n%s", k, err, d)
	}
	s = s.withoutLock()
	now := stateOf(t, root)
	delete(now.picture, journalAt+"/lock")
	wanted := s.before
	if maps.Equal(now.machine(), s.after.machine()) {
		wanted = s.after
	}
	wantState(t, fmt.Sprintf("power failed after call %d", k), now, wanted)
}

// withoutLock is the scene without the lock's file, which no power failure has
// to leave.
func (s scene) withoutLock() scene {
	for _, p := range []*picture{&s.before.picture, &s.after.picture} {
		*p = maps.Clone(*p)
		delete(*p, journalAt+"/lock")
	}
	return s
}
