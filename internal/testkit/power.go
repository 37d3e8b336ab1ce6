//go:build unix

package testkit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/vicr-cli/vicr/internal/atomicfile"
)

// An Op is one system call of a command, as a build with crash points logs it.
type Op struct {
	Kind, Path, To string
	At             int64 // where in the file
	Data           []byte
	Mode           fs.FileMode
	Owner          *atomicfile.Owner
}

// Crasher is the calling package's test, built with crash points.
func Crasher(tb testing.TB) string {
	tb.Helper()
	bin := filepath.Join(tb.TempDir(), "crasher")
	cmd := exec.CommandContext(tb.Context(), "go", "test", "-c", "-vet=off", "-tags", "crashpoints", "-o", bin, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("%v: %s", err, out)
	}
	return bin
}

// ReadOps reads what was logged into the file $VICR_OP_LOG, with paths from root on.
func ReadOps(tb testing.TB, log, root string) []Op {
	tb.Helper()
	data, err := os.ReadFile(log)
	if err != nil {
		tb.Fatal(err)
	}
	var ops []Op
	for line := range bytes.Lines(data) {
		var o Op
		if err := json.Unmarshal(line, &o); err != nil {
			tb.Fatal(err)
		}
		o.Path, o.To = strings.TrimPrefix(o.Path, root), strings.TrimPrefix(o.To, root)
		ops = append(ops, o)
	}
	if len(ops) < 10 {
		tb.Fatalf("only %d calls were logged", len(ops))
	}
	return ops
}

// InOrder wants the bytes of a file on the disk before its name, and each name
// on the disk before the command ends.
func InOrder(tb testing.TB, ops []Op) {
	tb.Helper()
	for i, o := range ops {
		later := func(kind, path string) int {
			return slices.IndexFunc(ops[i+1:], func(l Op) bool { return l.Kind == kind && l.Path == path })
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
				tb.Errorf("%d: %s gets its name before its bytes are on the disk", i, o.To)
			}
			if later("fsyncdir", filepath.Dir(o.To)) < 0 {
				tb.Errorf("%d: the name of %s is never synced", i, o.To)
			}
			if from := filepath.Dir(o.Path); later("fsyncdir", from) < 0 {
				tb.Errorf("%d: that %s is gone is never synced", i, o.Path)
			}
		case "remove", "mkdir":
			dir := filepath.Dir(o.Path)
			if later("fsyncdir", dir) < 0 && later("remove", dir) < 0 {
				tb.Errorf("%d: %s of %s is never synced", i, o.Kind, o.Path)
			}
		}
	}
}

// A DiskNode is a file or folder on a disk.
type DiskNode struct {
	dir   bool
	data  []byte
	mode  fs.FileMode
	owner atomicfile.Owner
}

// A Disk is what is there when the power is back.
type Disk map[string]DiskNode

func (d Disk) String() string {
	var b strings.Builder
	for _, path := range slices.Sorted(maps.Keys(d)) {
		if name := filepath.Base(path); strings.HasSuffix(name, ".tmp") {
			path = filepath.Dir(path) + "/temp" // the name is another one in each run
		}
		fmt.Fprintf(&b, "%s %+v\n", path, d[path])
	}
	return b.String()
}

// DiskOf reads a machine.
func DiskOf(tb testing.TB, root string) Disk {
	tb.Helper()
	d := Disk{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		n := DiskNode{dir: e.IsDir(), mode: info.Mode().Perm(), owner: atomicfile.Owner{UID: int(st.Uid), GID: int(st.Gid)}}
		if !n.dir {
			if n.data, err = os.ReadFile(path); err != nil {
				return err
			}
		}
		d[strings.TrimPrefix(path, root)] = n
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

// DisksAfter are all states of the disk when the power fails after the calls, but
// those that count for nobody, as of locks. A call is on the disk when what it changed was synced later. Each of the
// others is, or is not; of bytes also a half.
func DisksAfter(tb testing.TB, start string, ops []Op, noMatter func(path string) bool) []Disk {
	tb.Helper()
	const most = 12 // calls that were not synced
	var open []int
	for i, o := range ops {
		kind, where := "fsync", o.Path
		switch o.Kind {
		case "create", "remove", "mkdir", "rename":
			kind, where = "fsyncdir", filepath.Dir(o.Path)
		case "write", "truncate", "attr":
			// The file may have got another name since.
			if slices.ContainsFunc(ops[i+1:], func(l Op) bool { return l.Kind == "fsyncdir" && l.Path == filepath.Dir(o.Path) }) && o.Kind == "attr" {
				continue // of a folder
			}
		default:
			continue
		}
		if !slices.ContainsFunc(ops[i+1:], func(l Op) bool { return l.Kind == kind && l.Path == where }) {
			open = append(open, i)
		}
	}
	open = slices.DeleteFunc(open, func(i int) bool { return noMatter(ops[i].Path) })
	if len(open) > most {
		tb.Fatalf("%d calls are not synced after %d", len(open), len(ops))
	}
	var disks []Disk
	for subset := range 1 << len(open) {
		gone := map[int]bool{}
		for bit, i := range open {
			gone[i] = subset&(1<<bit) == 0
		}
		disks = append(disks, play(DiskOf(tb, start), ops, gone, false))
		if slices.ContainsFunc(open, func(i int) bool { return ops[i].Kind == "write" && !gone[i] }) {
			disks = append(disks, play(DiskOf(tb, start), ops, gone, true))
		}
	}
	return disks
}

// play does the calls but those that are gone. With half the last bytes that
// were written came to the disk in part.
func play(d Disk, ops []Op, gone map[int]bool, half bool) Disk {
	inode := map[string]*DiskNode{} // as the command saw them
	names := map[string]*DiskNode{} // as the disk has them
	for path, n := range d {
		inode[path] = &n
		names[path] = &n
	}
	for i, o := range ops {
		n := inode[o.Path]
		switch o.Kind {
		case "create", "mkdir":
			n = &DiskNode{dir: o.Kind == "mkdir", mode: 0o600, owner: atomicfile.Owner{UID: os.Geteuid(), GID: os.Getegid()}}
			if n.dir {
				n.mode = o.Mode
			}
			inode[o.Path] = n
			if !gone[i] {
				names[o.Path] = n
			}
		case "write":
			if !gone[i] {
				data := o.Data
				if _, open := gone[i]; open && half {
					data = data[:len(data)/2]
				}
				n.data = append(slices.Clone(n.data), make([]byte, max(0, o.At+int64(len(data))-int64(len(n.data))))...)
				copy(n.data[o.At:], data)
			}
		case "truncate":
			if !gone[i] {
				n.data = n.data[:min(int64(len(n.data)), o.At)]
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
	after := Disk{}
	for path, n := range names {
		if dir := names[filepath.Dir(path)]; dir != nil || filepath.Dir(path) == "/" {
			after[path] = *n
		}
	}
	return after
}

// Make makes the disk in an empty folder.
func (d Disk) Make(tb testing.TB, root string) {
	tb.Helper()
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
			tb.Fatal(err)
		}
	}
}
