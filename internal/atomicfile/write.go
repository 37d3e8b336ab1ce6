package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// An Owner is who a file belongs to. The zero Owner is root.
type Owner struct {
	UID, GID int
}

// OwnerOf says who the file belongs to; false where the system has no such numbers.
func OwnerOf(info fs.FileInfo) (Owner, bool) { return ownerOf(info) }

// Foreign says whether what lies at path, which info describes, belongs to
// another user than the one who runs us. On Windows what belongs to the system
// or to its administrators does not: an elevated process gives its files to
// either of user and administrators. The error is an [*fs.PathError].
func (t *Tree) Foreign(path string, info fs.FileInfo) (bool, error) {
	return foreign(t.Real(path), info)
}

// Links says how many names the file has. Replacing it changes what one of them
// leads to, and leaves the others with the old bytes.
func Links(info fs.FileInfo) uint64 { return linksOf(info) }

// Write replaces the file at path by data, or makes it. The file gets the
// permissions mode, whatever the umask is; with mode 0 it keeps those it has,
// and a new one gets 0600. A file that was there keeps its owner. The folder
// must exist.
//
// When Write fails the file is as it was and no temporary file is left, but
// for one case: when the folder cannot be synced the new bytes are in place
// and may not outlive a power failure. The error is a [*NotRegularError] or an
// [*fs.PathError] that wraps the cause.
func (t *Tree) Write(path string, data []byte, mode fs.FileMode) error {
	return t.Replace(path, data, Replacement{Mode: mode})
}

// WriteAs is [Tree.Write], and gives the file to owner. Where files have no such
// owner it is Write.
func (t *Tree) WriteAs(path string, data []byte, mode fs.FileMode, owner Owner) error {
	return t.Replace(path, data, Replacement{Mode: mode, Owner: &owner})
}

// A Replacement is what a file gets besides its bytes. The zero Replacement
// keeps all that it has.
type Replacement struct {
	Mode  fs.FileMode       // as [Tree.Write] takes it
	Owner *Owner            // nil: who it belongs to
	Attrs map[string][]byte // as of [Tree.Attrs]; nil: those that it has
	// Ready is asked when the new bytes are on the disk, just before they get the
	// name: with an error of its own the file stays as it is. nil: go on.
	Ready func() error
}

// Replace is [Tree.Write] with more to say. A file that was there also keeps
// its extended attributes, access lists and label, where the system has those.
// The error is besides those of Write a [*BusyError], or Ready's.
func (t *Tree) Replace(path string, data []byte, r Replacement) error {
	name, err := t.name(path)
	if err != nil {
		return err
	}
	if err := t.inherit(name, path, &r); err != nil {
		return err
	}
	temp, f, err := t.create(filepath.Dir(name))
	if err != nil {
		return t.named(err, path)
	}
	err = fill(f, data, r)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil && r.Ready != nil {
		if rerr := r.Ready(); rerr != nil {
			return errors.Join(rerr, t.named(t.drop(temp), path))
		}
	}
	if err == nil {
		err = t.rename(temp, name)
	}
	if errors.Is(err, syscall.EBUSY) {
		return errors.Join(&BusyError{Path: t.Real(path), Err: syscall.EBUSY}, t.named(t.drop(temp), path))
	}
	if err != nil {
		return t.named(errors.Join(err, t.drop(temp)), path)
	}
	return t.named(t.syncDir(filepath.Dir(name)), path)
}

// inherit fills in what the file keeps that is there.
func (t *Tree) inherit(name, path string, r *Replacement) error {
	old, err := t.regular(name, path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if old != nil {
		if r.Mode == 0 {
			r.Mode = old.Mode() & chmodBits
		}
		if o, ok := ownerOf(old); ok && r.Owner == nil {
			r.Owner = &o
		}
		if r.Attrs == nil {
			if r.Attrs, err = t.Attrs(path); err != nil {
				return err
			}
		}
	}
	if r.Mode == 0 {
		r.Mode = tempMode
	}
	return nil
}

// rename is the moment at which the new bytes are there.
func (t *Tree) rename(from, to string) error {
	return mutate(operation{kind: opRename, path: t.known(from), to: t.known(to)}, func() error { return t.fs.Rename(from, to) })
}

// create makes an empty file that is nobody else's in the folder dir.
func (t *Tree) create(dir string) (name string, f *os.File, err error) {
	const tries = 100
	for range tries {
		name = filepath.Join(dir, tempName())
		err = mutate(operation{kind: opCreate, path: t.known(name)}, func() error {
			f, err = t.fs.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL|openNoFollow, tempMode)
			return err
		})
		if err == nil {
			return name, f, nil
		}
		if f != nil {
			err = errors.Join(err, f.Close(), t.drop(name))
		}
		if !errors.Is(err, fs.ErrExist) {
			return "", nil, err
		}
	}
	return "", nil, err
}

// fill writes the whole of a temporary file down to the disk. The owner comes
// before the mode, since a change of owner takes setuid bits away, and so do
// the attributes, since an access list changes the mode.
func fill(f *os.File, data []byte, r Replacement) error {
	err := mutate(operation{kind: opWrite, path: f.Name(), data: data}, func() error { _, err := f.Write(data); return err })
	if err != nil {
		return err
	}
	if r.Owner != nil {
		if err := give(f, *r.Owner); err != nil {
			return err
		}
	}
	if r.Attrs != nil {
		if err := setAttrs(f, r.Attrs); err != nil {
			return err
		}
	}
	if err := mutate(operation{kind: opAttr, path: f.Name(), mode: r.Mode}, func() error { return f.Chmod(r.Mode & chmodBits) }); err != nil {
		return err
	}
	return mutate(operation{kind: opSync, path: f.Name()}, f.Sync)
}

// give changes the owner where it is another one: who may not change owners
// can still replace what is his.
func give(f *os.File, owner Owner) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if is, ok := ownerOf(info); !ok || is == owner {
		return nil
	}
	return mutate(operation{kind: opAttr, path: f.Name(), owner: &owner}, func() error { return f.Chown(owner.UID, owner.GID) })
}

// drop removes a temporary file of ours that may already be gone.
func (t *Tree) drop(name string) error {
	err := mutate(operation{kind: opRemove, path: t.known(name)}, func() error { return t.fs.Remove(name) })
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// syncDir makes a change of names in a folder outlive a power failure.
func (t *Tree) syncDir(name string) error {
	return mutate(operation{kind: opSyncDir, path: t.known(name)}, func() error {
		dir, err := t.fs.OpenFile(name, os.O_RDONLY|openNoBlock, 0)
		if err != nil {
			return err
		}
		return errors.Join(syncFolder(dir), dir.Close())
	})
}

// syncWithout is syncDir after something was removed: a folder that somebody
// removed in the meantime has nothing to forget.
func (t *Tree) syncWithout(name string) error {
	if err := t.syncDir(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Remove removes the plain file at path; nil when there is nothing. The error
// is a [*NotRegularError], a [*BusyError] or an [*fs.PathError].
func (t *Tree) Remove(path string) error {
	name, err := t.name(path)
	if err != nil {
		return err
	}
	if _, err := t.regular(name, path); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	err = t.drop(name)
	if errors.Is(err, syscall.EBUSY) {
		return &BusyError{Path: t.Real(path), Err: err}
	}
	if err != nil {
		return t.named(err, path)
	}
	return t.named(t.syncWithout(filepath.Dir(name)), path)
}

// MkdirAll makes the folder at path and those above it that are missing, each
// with mode, whatever the umask is. It returns which it made, outermost first,
// also along with an error. What exists stays as it is.
func (t *Tree) MkdirAll(path string, mode fs.FileMode) (made []string, err error) {
	missing, err := t.Missing(path)
	if err != nil {
		return nil, err
	}
	for _, dir := range missing {
		fresh, err := t.mkdir(dir, mode)
		if fresh {
			made = append(made, dir)
		}
		if err != nil {
			return made, t.named(err, dir)
		}
	}
	return made, nil
}

// Missing says which folders [Tree.MkdirAll] would make, outermost first. The
// error is a [*LinkError] at a link that leads to nothing, or an [*fs.PathError].
func (t *Tree) Missing(path string) ([]string, error) {
	name, err := t.name(path)
	if err != nil {
		return nil, err
	}
	var missing []string
	for path = filepath.Clean(path); ; path, name = filepath.Dir(path), filepath.Dir(name) {
		info, err := t.fs.Stat(name)
		if err == nil && !info.IsDir() {
			return nil, &fs.PathError{Op: "mkdir", Path: t.Real(path), Err: syscall.ENOTDIR}
		}
		if err == nil {
			slices.Reverse(missing)
			return missing, nil
		}
		if !errors.Is(err, fs.ErrNotExist) || name == filepath.Dir(name) {
			return nil, t.named(err, path)
		}
		if info, err := t.fs.Lstat(name); err == nil && info.Mode()&fs.ModeSymlink != 0 {
			return nil, &LinkError{Path: t.Real(path), At: t.Real(path), Why: "leads to a folder that is not there"}
		}
		missing = append(missing, path)
	}
}

func (t *Tree) mkdir(path string, mode fs.FileMode) (made bool, err error) {
	name, err := t.name(path)
	if err != nil {
		return false, err
	}
	err = mutate(operation{kind: opMkdir, path: t.known(name), mode: mode.Perm()}, func() error {
		err := t.fs.Mkdir(name, mode.Perm())
		made = err == nil
		return err
	})
	if errors.Is(err, fs.ErrExist) {
		if info, err := t.fs.Stat(name); err == nil && info.IsDir() {
			return false, nil // somebody else was faster
		}
	}
	if err != nil {
		return made, err
	}
	info, err := t.fs.Lstat(name)
	if err != nil {
		return true, err
	}
	if info.IsDir() && info.Mode().Perm() != mode.Perm() && modesCount {
		special := info.Mode() & (chmodBits &^ fs.ModePerm) // setgid that the parent handed down
		if err := mutate(operation{kind: opAttr, path: t.known(name), mode: mode.Perm() | special}, func() error { return t.fs.Chmod(name, mode.Perm()|special) }); err != nil {
			return true, err
		}
	}
	return true, t.syncDir(filepath.Dir(name))
}

// RemoveDir removes an empty folder; nil when there is nothing. The error wraps
// [ErrNotEmpty], or is an [*fs.PathError].
func (t *Tree) RemoveDir(path string) error {
	name, err := t.name(path)
	if err != nil {
		return err
	}
	info, err := t.fs.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return t.named(err, path)
	}
	if !info.IsDir() {
		return &fs.PathError{Op: "rmdir", Path: t.Real(path), Err: errors.New("not a directory")}
	}
	if err := t.drop(name); err != nil {
		entries, rerr := t.readDir(name)
		// What was in it may be gone by now: then the system's word counts.
		if rerr == nil && len(entries) > 0 || errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%q: %w", t.Real(path), ErrNotEmpty)
		}
		return t.named(err, path)
	}
	return t.named(t.syncWithout(filepath.Dir(name)), path)
}

// Sweep removes the temporary files that a killed writer left in the folder at
// path, and says how many; 0 when there is no such folder. The caller holds
// the lock that every writer in that folder takes.
func (t *Tree) Sweep(path string) (int, error) {
	left, err := t.Leftovers(path)
	if err != nil {
		return 0, err
	}
	for i, p := range left {
		if err := t.Remove(p); err != nil {
			return i, err
		}
	}
	return len(left), nil
}

// Leftovers lists what [Tree.Sweep] would remove.
func (t *Tree) Leftovers(path string) ([]string, error) {
	entries, err := t.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var left []string
	for _, e := range entries {
		if isTemp(e.Name()) && e.Type().IsRegular() {
			left = append(left, filepath.Join(path, e.Name()))
		}
	}
	return left, err
}
