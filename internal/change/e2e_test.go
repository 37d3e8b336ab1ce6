//go:build e2e && linux

package change_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vicr-cli/vicr/internal/atomicfile"
	"github.com/vicr-cli/vicr/internal/change"
)

// These need root and what only real file systems do.

func must(t *testing.T, argv ...string) {
	t.Helper()
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%q: %v: %s", argv, err, out)
	}
}

func mount(t *testing.T, source, target, kind string, flags uintptr, data string) {
	t.Helper()
	if err := unix.Mount(source, target, kind, flags, data); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(target, 0); err != nil {
			t.Error(err)
		}
	})
}

// twoFiles are one that can be changed, and one in a folder of its own.
func twoFiles(t *testing.T) (dir, good, bad string, j *change.Journal) {
	t.Helper()
	dir, _, j = ownTree(t)
	put(t, dir, "/good.json", "{}", 0o644)
	put(t, dir, "/sub/bad.json", "{}", 0o644)
	return dir, filepath.Join(dir, "good.json"), filepath.Join(dir, "sub", "bad.json"), j
}

func TestRealImmutableFileIsFoundBeforeTheFirstWrite(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ mark, at, command string }{
		"immutable":          {"i", "sub/bad.json", "chattr -i "},
		"append only":        {"a", "sub/bad.json", "chattr -a "},
		"folder immutable":   {"i", "sub", "chattr -i "},
		"folder append only": {"a", "sub", "chattr -a "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, good, bad, j := twoFiles(t)
			marked := filepath.Join(dir, tt.at)
			must(t, "chattr", "+"+tt.mark, marked)
			t.Cleanup(func() { must(t, "chattr", "-"+tt.mark, marked) })
			before, at := look(t, dir), stamps(t, dir)[good]
			err := j.Apply(t.Context(), subject(hostA), planAt(good, bad), nil)
			var refused *atomicfile.ImmutableError
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), tt.command+marked) || is[*change.RolledBackError](err) {
				t.Errorf("%v", err)
			}
			wantPicture(t, "after", look(t, dir), before)
			if !stamps(t, dir)[good].Equal(at) {
				t.Error("the other file was written")
			}
		})
	}
}

func TestRealReadOnlyFileSystemIsFoundBeforeTheFirstWrite(t *testing.T) {
	t.Parallel()
	dir, good, bad, j := twoFiles(t)
	sub := filepath.Dir(bad)
	mount(t, sub, sub, "", unix.MS_BIND, "")
	if err := unix.Mount("", sub, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	before, at := look(t, dir), stamps(t, dir)[good]
	for _, path := range []string{bad, filepath.Join(sub, "new", "folder", "f.json")} {
		err := j.Apply(t.Context(), subject(hostA), planAt(good, path), nil)
		if !errors.Is(err, syscall.EROFS) || is[*change.RolledBackError](err) {
			t.Errorf("%v", err)
		}
	}
	wantPicture(t, "after", look(t, dir), before)
	if !stamps(t, dir)[good].Equal(at) {
		t.Error("the other file was written")
	}
}

func TestRealMountedFileIsSaidAndAllIsRolledBack(t *testing.T) {
	t.Parallel()
	dir, good, bad, j := twoFiles(t)
	put(t, dir, "/outside.json", "{}", 0o644)
	mount(t, filepath.Join(dir, "outside.json"), bad, "", unix.MS_BIND, "")
	before := look(t, dir)
	err := j.Apply(t.Context(), subject(hostA), planAt(good, bad), nil)
	if !is[*atomicfile.BusyError](err) || !is[*change.RolledBackError](err) {
		t.Errorf("%v", err)
	}
	wantPicture(t, "after", look(t, dir), before)
}

// The disk is full with n bytes to spare, for many n.
func TestRealFullDiskChangesNothing(t *testing.T) {
	t.Parallel()
	for _, journalToo := range []bool{false, true} {
		disk := t.TempDir()
		mount(t, "tmpfs", disk, "tmpfs", 0, "size=64k,mode=0755")
		place := t.TempDir()
		if journalToo {
			place = disk
		}
		put(t, disk, "/etc/daemon.json", "{\"x\": \""+strings.Repeat("x", 9000)+"\"}", 0o640)
		j := change.OpenJournal(atomicfile.Machine(), filepath.Join(place, "journal"), options(place))
		filler, failed := filepath.Join(disk, "filler"), 0
		for pages := 16; pages >= 0; pages-- {
			err := os.WriteFile(filler, bytes.Repeat([]byte("x"), pages*4096), 0o600)
			if err != nil && !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
			before := look(t, disk)
			err = j.Apply(t.Context(), subject(hostA), planAt(filepath.Join(disk, "etc/daemon.json")), nil)
			if err == nil {
				if u, err := j.Undo(t.Context(), hostA, false); err != nil || len(u.Changed) > 0 {
					if !errors.Is(err, syscall.ENOSPC) {
						t.Fatalf("%d pages: %+v, %v", pages, u, err)
					}
					if err := os.Remove(filler); err != nil {
						t.Fatal(err)
					}
					undo(t, j, hostA, false)
					delete(before, "/filler")
				}
			} else {
				failed++
				if !errors.Is(err, syscall.ENOSPC) || is[*change.RollbackError](err) {
					t.Errorf("%d pages: %v", pages, err)
				}
			}
			wantPicture(t, "after", look(t, disk), before)
		}
		if failed == 0 {
			t.Error("it was never full")
		}
	}
}

// What getfattr and getfacl say is the same after a change and after its undo.
func TestRealAttributesAndAccessListsStay(t *testing.T) {
	t.Parallel()
	dir, good, _, j := twoFiles(t)
	must(t, "setfattr", "-n", "user.note", "-v", "x", good)
	must(t, "setfattr", "-n", "trusted.note", "-v", "y", good)
	must(t, "setfacl", "-m", "u:1234:rw,g:4321:r", good)
	said := func() string {
		t.Helper()
		attrs, err := exec.Command("getfattr", "-d", "-m", "-", "--absolute-names", good).Output()
		if err != nil {
			t.Fatal(err)
		}
		list, err := exec.Command("getfacl", "--absolute-names", good).Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(attrs) + string(list)
	}
	before, machine := said(), look(t, dir)
	apply(t, j, hostA, planAt(good))
	if got := said(); got != before {
		t.Errorf("while trusted:\n%swant\n%s", got, before)
	}
	undo(t, j, hostA, false)
	if got := said(); got != before {
		t.Errorf("after:\n%swant\n%s", got, before)
	}
	wantPicture(t, "after", look(t, dir), machine)
}

// Attributes that somebody sets between the look and the write are a change.
func TestRealAttributeSetMeanwhileIsAChange(t *testing.T) {
	t.Parallel()
	dir, good, _, j := twoFiles(t)
	plan := planAt(good)
	plan[0].Check = []string{"/usr/bin/setfattr", "-n", "user.note", "-v", "x", good}
	if err := j.Apply(t.Context(), subject(hostA), plan, nil); !is[*change.ChangedError](err) {
		t.Errorf("%v", err)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "good.json")); err != nil || string(data) != "{}" {
		t.Errorf("%q, %v", data, err)
	}
}
