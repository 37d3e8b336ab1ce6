package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// An Owner is who a file belongs to. The zero Owner is root.
type Owner struct {
	UID, GID int
}

// OwnerOf says who the file belongs to; false where the system has no such numbers.
func OwnerOf(info fs.FileInfo) (Owner, bool) { return ownerOf(info) }

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
	return t.write(path, data, mode, nil)
}

// WriteAs is [Tree.Write], and gives the file to owner. Where files have no such
// owner it is Write.
func (t *Tree) WriteAs(path string, data []byte, mode fs.FileMode, owner Owner) error {
	return t.write(path, data, mode, &owner)
}

func (t *Tree) write(path string, data []byte, mode fs.FileMode, owner *Owner) error {
	name, err := t.name(path)
	if err != nil {
		return err
	}
	old, err := t.regular(name, path)
	if errors.Is(err, fs.ErrNotExist) {
		old, err = nil, nil
	}
	if err != nil {
		return err
	}
	if old != nil {
		if mode == 0 {
			mode = old.Mode() & chmodBits
		}
		if o, ok := ownerOf(old); ok && owner == nil {
			owner = &o
		}
	}
	if mode == 0 {
		mode = tempMode
	}
	temp, f, err := t.create(filepath.Dir(name))
	if err != nil {
		return t.named(err, path)
	}
	err = fill(f, data, mode, owner)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = mutate(func() error { return t.fs.Rename(temp, name) })
	}
	if err != nil {
		return t.named(errors.Join(err, t.drop(temp)), path)
	}
	return t.named(t.syncDir(filepath.Dir(name)), path)
}

// create makes an empty file that is nobody else's in the folder dir.
func (t *Tree) create(dir string) (name string, f *os.File, err error) {
	const tries = 100
	for range tries {
		name = filepath.Join(dir, tempName())
		err = mutate(func() error {
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
// before the mode, since a change of owner takes setuid bits away.
func fill(f *os.File, data []byte, mode fs.FileMode, owner *Owner) error {
	err := mutate(func() error { _, err := f.Write(data); return err })
	if err != nil {
		return err
	}
	if owner != nil {
		if err := give(f, *owner); err != nil {
			return err
		}
	}
	if err := mutate(func() error { return f.Chmod(mode & chmodBits) }); err != nil {
		return err
	}
	return mutate(f.Sync)
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
	return mutate(func() error { return f.Chown(owner.UID, owner.GID) })
}

// drop removes a temporary file of ours that may already be gone.
func (t *Tree) drop(name string) error {
	err := mutate(func() error { return t.fs.Remove(name) })
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// syncDir makes a change of names in a folder outlive a power failure.
func (t *Tree) syncDir(name string) error {
	return mutate(func() error {
		dir, err := t.fs.OpenFile(name, os.O_RDONLY|openNoBlock, 0)
		if err != nil {
			return err
		}
		return errors.Join(syncFolder(dir), dir.Close())
	})
}

// Remove removes the plain file at path; nil when there is nothing. The error
// is a [*NotRegularError] or an [*fs.PathError].
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
	if err := t.drop(name); err != nil {
		return t.named(err, path)
	}
	return t.named(t.syncDir(filepath.Dir(name)), path)
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
		if err != nil {
			return made, t.named(err, dir)
		}
		if fresh {
			made = append(made, dir)
		}
	}
	return made, nil
}

// Missing says which folders [Tree.MkdirAll] would make, outermost first.
func (t *Tree) Missing(path string) ([]string, error) {
	name, err := t.name(path)
	if err != nil {
		return nil, err
	}
	var missing []string
	for path = filepath.Clean(path); ; path, name = filepath.Dir(path), filepath.Dir(name) {
		info, err := t.fs.Stat(name)
		if err == nil && !info.IsDir() {
			return nil, &fs.PathError{Op: "mkdir", Path: t.Real(path), Err: errors.New("not a directory")}
		}
		if err == nil {
			slices.Reverse(missing)
			return missing, nil
		}
		if !errors.Is(err, fs.ErrNotExist) || name == filepath.Dir(name) {
			return nil, t.named(err, path)
		}
		missing = append(missing, path)
	}
}

func (t *Tree) mkdir(path string, mode fs.FileMode) (made bool, err error) {
	name, err := t.name(path)
	if err != nil {
		return false, err
	}
	err = mutate(func() error { return t.fs.Mkdir(name, mode.Perm()) })
	if errors.Is(err, fs.ErrExist) {
		if info, err := t.fs.Stat(name); err == nil && info.IsDir() {
			return false, nil // somebody else was faster
		}
	}
	if err != nil {
		return false, err
	}
	info, err := t.fs.Lstat(name)
	if err != nil {
		return true, err
	}
	if info.IsDir() && info.Mode().Perm() != mode.Perm() && modesCount {
		special := info.Mode() & (chmodBits &^ fs.ModePerm) // setgid that the parent handed down
		if err := mutate(func() error { return t.fs.Chmod(name, mode.Perm()|special) }); err != nil {
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
		if entries, rerr := t.readDir(name); rerr == nil && len(entries) > 0 {
			return fmt.Errorf("%q: %w", t.Real(path), ErrNotEmpty)
		}
		return t.named(err, path)
	}
	return t.named(t.syncDir(filepath.Dir(name)), path)
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
