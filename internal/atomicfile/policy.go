package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
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

// An OutsideError says that a symbolic link leads out of the folder of
// [Beneath]. An absolute one does: the machine that lies there would begin at
// that folder, and we would at our own root. Nothing was written.
type OutsideError struct {
	Path string // of the file
	Link string
	To   string // as the link has it; may hold any byte
	// Relative is the To that would stay; "" where To is not absolute.
	Relative string
}

func (e *OutsideError) Error() string {
	if e.Relative != "" {
		return fmt.Sprintf("%q is not followed: the link %q is absolute, to %q, which is somewhere else than in the tree", e.Path, e.Link, e.To)
	}
	return fmt.Sprintf("%q is not followed: the link %q, to %q, leads out of the tree", e.Path, e.Link, e.To)
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
// is there. A link is followed when nobody but root, who runs us and who owns
// the tree could have made it, or could change where it leads. The error is a
// [*LinkError], an [*OutsideError] or an [*fs.PathError].
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
	if out := t.outside(path); out != nil {
		return "", out
	}
	real, bad, err := t.walk(name, true)
	if bad != nil {
		return "", &LinkError{Path: t.Real(path), At: t.known(bad.at), Why: bad.why}
	}
	if t.root != nil {
		real = string(filepath.Separator) + real
	}
	return real, t.named(err, path)
}

// CheckParents refuses, for root, a file at path that somebody else could put
// another one in the place of. What lies beneath a folder may be somebody else's
// as a whole: there only links are looked at, and the folders that they lead
// through. The error is a [*ParentError], an [*OutsideError] or an [*fs.PathError].
func (t *Tree) CheckParents(path string) error {
	if !isRoot() {
		return nil
	}
	name, err := t.name(path)
	if err != nil {
		return err
	}
	dir := filepath.Dir(name)
	if t.root != nil && !t.linked(dir) {
		return nil
	}
	if out := t.outside(path); out != nil {
		return out
	}
	_, bad, err := t.walk(dir, false)
	if bad != nil {
		return &ParentError{Path: t.Real(path), Folder: t.known(bad.at), Why: bad.why}
	}
	return t.named(err, path)
}

// linked says whether a name of the tree's files leads over a link.
func (t *Tree) linked(name string) bool {
	for ; name != filepath.Dir(name); name = filepath.Dir(name) {
		if info, err := t.fs.Lstat(name); err == nil && info.Mode()&fs.ModeSymlink != 0 {
			return true
		}
	}
	return false
}

// outside is the link over which path leads out of the tree, nil if none does.
// It only finds words: that nothing is opened there is the root's own doing.
func (t *Tree) outside(path string) *OutsideError {
	name, err := t.name(path)
	if err != nil || t.root == nil {
		return nil //nolint:nilerr // no link is to blame for a path that is none
	}
	var last *OutsideError
	at, rest := ".", elements(name)
	for links := 0; len(rest) > 0 && links <= mostLinks; {
		next := rest[0]
		rest = rest[1:]
		if next == ".." {
			if at == "." {
				return last
			}
			at = filepath.Dir(at)
			continue
		}
		next = filepath.Join(at, next)
		to, err := t.fs.Readlink(next)
		if err != nil { // it is none, or not there
			at = next
			continue
		}
		links++
		last = &OutsideError{Path: t.Real(path), Link: t.known(next), To: to}
		if rooted(to) {
			if last.Relative, err = filepath.Rel(at, filepath.Join(elements(to)...)); err != nil {
				last.Relative = "."
			}
			return last
		}
		rest = append(elements(to), rest...)
	}
	return nil
}

const mostLinks = 40 // on the way to a file, as the kernel has it

func elements(path string) []string {
	return strings.FieldsFunc(filepath.ToSlash(path), func(r rune) bool { return r == '/' })
}

// rooted says whether a link leads to the same from wherever it lies.
func rooted(to string) bool {
	return filepath.IsAbs(to) || strings.HasPrefix(filepath.ToSlash(to), "/")
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
