package atomicfile

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	tempPrefix = ".vicr-"
	// Container tools load what ends in .crt, .cert, .key or .conf, so a
	// leftover must end otherwise.
	tempSuffix = ".tmp"
	tempRandom = 8 // bytes, twice as many hex digits
	tempMode   = 0o600

	// chmodBits are those that a file can be given.
	chmodBits = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky
)

// files is what a Tree needs of the system; *os.Root has it.
type files interface {
	OpenFile(name string, flag int, perm fs.FileMode) (*os.File, error)
	Stat(name string) (fs.FileInfo, error)
	Lstat(name string) (fs.FileInfo, error)
	Readlink(name string) (string, error)
	Mkdir(name string, perm fs.FileMode) error
	Chmod(name string, mode fs.FileMode) error
	Rename(from, to string) error
	Remove(name string) error
}

// A Tree is where absolute paths begin: the machine's own root, or a folder
// that nothing leads out of. Its methods may be called at the same time.
type Tree struct {
	fs   files
	root *os.Root // nil: the machine's own
}

// Machine returns the tree of the machine's own paths.
func Machine() *Tree { return &Tree{fs: system{}} }

// Beneath returns the tree of the paths beneath dir: "/etc/docker" is
// dir/etc/docker. Nothing outside dir is ever opened, neither by a symbolic
// link, which is an [*OutsideError], nor by "..". A link that stays beneath dir
// is one as elsewhere. Close it. The error is an [*fs.PathError].
func Beneath(dir string) (*Tree, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &Tree{fs: root, root: root}, nil
}

// Close lets go of the folder of [Beneath].
func (t *Tree) Close() error {
	if t.root == nil {
		return nil
	}
	return t.root.Close()
}

// Real returns the name by which path is known outside of the tree, for people to read.
func (t *Tree) Real(path string) string {
	if t.root == nil {
		return path
	}
	name, err := t.name(path)
	if err != nil {
		return path
	}
	return t.known(name)
}

// known is how a name of the tree's files is known outside of it.
func (t *Tree) known(name string) string {
	if t.root == nil {
		return name
	}
	return filepath.Join(t.root.Name(), name)
}

// name is what the tree's files are asked for.
func (t *Tree) name(path string) (string, error) {
	if path == "" || strings.ContainsRune(path, 0) {
		return "", &fs.PathError{Op: "open", Path: path, Err: fs.ErrInvalid}
	}
	if t.root == nil {
		return filepath.Clean(path), nil
	}
	elements := strings.Split(filepath.ToSlash(path[len(filepath.VolumeName(path)):]), "/")
	if slices.Contains(elements, "..") {
		return "", &fs.PathError{Op: "open", Path: path, Err: fs.ErrInvalid}
	}
	return filepath.Join(append([]string{"."}, elements...)...), nil
}

// named gives an error the path that the caller used instead of that of a
// temporary file or of a name inside a root. It is an [*OutsideError] where a
// link is to blame.
func (t *Tree) named(err error, path string) error {
	if err == nil {
		return nil
	}
	if out := t.outside(path); out != nil {
		return out
	}
	var p *fs.PathError
	var l *os.LinkError
	switch {
	case errors.As(err, &p):
		return &fs.PathError{Op: p.Op, Path: t.Real(path), Err: p.Err}
	case errors.As(err, &l):
		return &fs.PathError{Op: l.Op, Path: t.Real(path), Err: l.Err}
	}
	return &fs.PathError{Op: "write", Path: t.Real(path), Err: err}
}

// Stat describes what lies at path, without following a symbolic link there.
func (t *Tree) Stat(path string) (fs.FileInfo, error) {
	name, err := t.name(path)
	if err != nil {
		return nil, err
	}
	info, err := t.fs.Lstat(name)
	return info, t.named(err, path)
}

// ReadDir lists a folder, sorted by name.
func (t *Tree) ReadDir(path string) ([]fs.DirEntry, error) {
	name, err := t.name(path)
	if err != nil {
		return nil, err
	}
	entries, err := t.readDir(name)
	return entries, t.named(err, path)
}

func (t *Tree) readDir(name string) ([]fs.DirEntry, error) {
	dir, err := t.fs.OpenFile(name, os.O_RDONLY|openNoBlock, 0)
	if err != nil {
		return nil, err
	}
	entries, err := dir.ReadDir(-1)
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, errors.Join(err, dir.Close())
}

// regular describes the plain file called name; the error is a
// [*NotRegularError] when something else lies there.
func (t *Tree) regular(name, path string) (fs.FileInfo, error) {
	info, err := t.fs.Lstat(name)
	if err != nil {
		return nil, t.named(err, path)
	}
	if !info.Mode().IsRegular() {
		return nil, &NotRegularError{Path: t.Real(path), Mode: info.Mode()}
	}
	return info, nil
}

// Read returns the bytes of a plain file of at most limit bytes. It never
// waits for a FIFO. The error is a [*NotRegularError], wraps [ErrTooLarge], or
// is an [*fs.PathError].
func (t *Tree) Read(path string, limit int64) ([]byte, fs.FileInfo, error) {
	name, err := t.name(path)
	if err != nil {
		return nil, nil, err
	}
	f, info, err := t.openRegular(name, path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, nil, t.named(err, path)
	}
	if int64(len(data)) > limit {
		return nil, nil, fmt.Errorf("%q: %w: more than %d bytes", t.Real(path), ErrTooLarge, limit)
	}
	return data, info, nil
}

// openRegular opens a plain file for reading. What was looked at must be what
// was opened, so that no link is followed; a file that was replaced in between
// is looked at again.
func (t *Tree) openRegular(name, path string) (*os.File, fs.FileInfo, error) {
	const tries = 100
	for range tries {
		before, err := t.regular(name, path)
		if err != nil {
			return nil, nil, err
		}
		f, err := t.fs.OpenFile(name, os.O_RDONLY|openNoBlock, 0)
		if err != nil {
			return nil, nil, t.named(err, path)
		}
		info, err := f.Stat()
		if err == nil && os.SameFile(before, info) {
			return f, info, nil
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, nil, t.named(err, path)
		}
	}
	return nil, nil, &fs.PathError{Op: "open", Path: t.Real(path), Err: errors.New("it is replaced again and again")}
}

// tempName is a name that nobody can foresee.
func tempName() string {
	var b [tempRandom]byte
	rand.Read(b[:]) //nolint:errcheck,gosec // never fails: crypto/rand
	return tempPrefix + hex.EncodeToString(b[:]) + tempSuffix
}

func isTemp(name string) bool {
	middle, ok := strings.CutPrefix(name, tempPrefix)
	middle, ok2 := strings.CutSuffix(middle, tempSuffix)
	_, err := hex.DecodeString(middle)
	return ok && ok2 && err == nil && len(middle) == 2*tempRandom
}

// system is the machine's own files.
type system struct{}

func (system) OpenFile(name string, flag int, perm fs.FileMode) (*os.File, error) {
	return os.OpenFile(name, flag, perm) //nolint:gosec // the caller's policy says which
}
func (system) Stat(name string) (fs.FileInfo, error)     { return os.Stat(name) }
func (system) Lstat(name string) (fs.FileInfo, error)    { return os.Lstat(name) }
func (system) Readlink(name string) (string, error)      { return os.Readlink(name) }
func (system) Mkdir(name string, perm fs.FileMode) error { return os.Mkdir(name, perm) }
func (system) Chmod(name string, mode fs.FileMode) error { return os.Chmod(name, mode) }
func (system) Rename(from, to string) error              { return os.Rename(from, to) }
func (system) Remove(name string) error                  { return os.Remove(name) }
