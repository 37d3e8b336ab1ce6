package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// A LinkError says that a symbolic link lies where a file is to be written, and
// why it is not followed. Nothing was written.
type LinkError struct {
	Path string // of the file
	At   string // what is wrong with it is here
	Why  string
}

func (e *LinkError) Error() string {
	return fmt.Sprintf("%q is a symbolic link that is not followed: %q %s", e.Path, e.At, e.Why)
}

// A ParentError says that root does not write a file, since somebody else could
// put another in its place. Nothing was written.
type ParentError struct {
	Path   string // of the file
	Folder string // somewhere above it
	Why    string
}

func (e *ParentError) Error() string {
	return fmt.Sprintf("root does not write %q: the folder %q %s", e.Path, e.Folder, e.Why)
}

// An ImmutableError says that a file, or the folder that it is in, was made
// unchangeable, also for root.
type ImmutableError struct {
	Path    string // that has the mark
	Command string // what takes the mark away
}

func (e *ImmutableError) Error() string {
	return fmt.Sprintf("%q is marked as immutable: %s takes the mark away", e.Path, e.Command)
}

// A BusyError says that a file cannot be replaced as a whole: something is
// mounted on it, as containers do with single files.
type BusyError struct {
	Path string
	Err  error
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("%q cannot be replaced: it is a mount of its own, as of a single file into a container; change it where it comes from", e.Path)
}

func (e *BusyError) Unwrap() error { return e.Err }

// Follow returns where the file at path lies: path itself unless a symbolic link
// is there. A link of the machine's own tree is followed when nobody but root
// and who runs us could have made it, or could change where it leads. The error
// is a [*LinkError] or an [*fs.PathError].
func (t *Tree) Follow(path string) (string, error) {
	name, err := t.name(path)
	if err != nil {
		return "", err
	}
	info, err := t.fs.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Mode()&fs.ModeSymlink == 0 {
		return path, nil
	}
	if err != nil {
		return "", t.named(err, path)
	}
	if t.root != nil {
		return "", &LinkError{Path: t.Real(path), At: t.Real(path), Why: "is in a tree that is not the machine's own"}
	}
	real, bad, err := walk(name, true)
	if bad != nil {
		return "", &LinkError{Path: path, At: bad.at, Why: bad.why}
	}
	return real, t.named(err, path)
}

// CheckParents refuses, for root and the machine's own tree, a file at path that
// somebody else could put another one in the place of. The error is a
// [*ParentError] or an [*fs.PathError].
func (t *Tree) CheckParents(path string) error {
	if t.root != nil || !isRoot() {
		return nil
	}
	name, err := t.name(path)
	if err != nil {
		return err
	}
	_, bad, err := walk(filepath.Dir(name), false)
	if bad != nil {
		return &ParentError{Path: path, Folder: bad.at, Why: bad.why}
	}
	return t.named(err, path)
}

// Writable says before anything is written whether the file at path could be
// replaced or made: the error is an [*ImmutableError] or an [*fs.PathError] for
// a file system that is read-only, or a folder that we may not write.
func (t *Tree) Writable(path string) error {
	name, err := t.name(path)
	if err != nil {
		return err
	}
	f, _, err := t.openRegular(name, path)
	if err == nil {
		err = errors.Join(unchangeable(f, t.Real(path)), f.Close())
		if err != nil {
			return err
		}
	}
	for dir := filepath.Dir(name); ; dir = filepath.Dir(dir) {
		f, err := t.fs.OpenFile(dir, openFolder, 0)
		if errors.Is(err, fs.ErrNotExist) && dir != filepath.Dir(dir) {
			continue
		}
		if err != nil {
			return nil //nolint:nilerr // whether it may be written shows when it is
		}
		if err = unchangeable(f, t.known(dir)); err == nil {
			err = t.named(writable(f), path)
		}
		return errors.Join(err, f.Close())
	}
}

// untrusted is what somebody else could change, and who.
type untrusted struct{ at, why string }
