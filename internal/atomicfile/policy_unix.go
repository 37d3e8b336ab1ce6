//go:build unix

package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

const openFolder = os.O_RDONLY | syscall.O_DIRECTORY | openNoBlock

func isRoot() bool { return os.Geteuid() == 0 }

// walk goes from the root of the tree down to name, over symbolic links, and
// returns where it came to. It stops at what others than root, who runs us and
// who owns the tree could change. With file, what it comes to must be there and
// no folder.
func (t *Tree) walk(name string, file bool) (real string, bad *untrusted, err error) {
	top, trusted := "/", []int{0, os.Geteuid()}
	if t.root != nil {
		top = "."
		info, err := t.fs.Stat(top)
		if err != nil {
			return "", nil, err
		}
		if o, ok := ownerOf(info); ok {
			trusted = append(trusted, o.UID)
		}
	}
	links, open := 0, false
	at, rest := top, elements(name)
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		if name == ".." {
			at = filepath.Dir(at)
			continue
		}
		next := filepath.Join(at, name)
		info, err := t.fs.Lstat(next)
		if errors.Is(err, fs.ErrNotExist) {
			if file {
				return "", &untrusted{next, "is not there"}, nil
			}
			return filepath.Join(append([]string{next}, rest...)...), nil, nil
		}
		if err != nil {
			return "", nil, err
		}
		plain := info.Mode().IsRegular()
		if o, ok := ownerOf(info); ok && !slices.Contains(trusted, o.UID) && (open || !plain) {
			return "", &untrusted{next, "belongs to another user"}, nil
		}
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			if links++; links > mostLinks {
				return "", &untrusted{next, "leads round in a circle"}, nil
			}
			to, err := t.fs.Readlink(next)
			if err != nil {
				return "", nil, err
			}
			if rooted(to) {
				at = top
			}
			rest = append(elements(to), rest...)
			continue
		case info.IsDir():
			others := info.Mode().Perm()&0o022 != 0
			open = others // then only who owns a name can change it
			if others && info.Mode()&fs.ModeSticky == 0 {
				return "", &untrusted{next, "can be written by others"}, nil
			}
			if file && len(rest) == 0 {
				return "", &untrusted{next, "is a folder"}, nil
			}
		case len(rest) > 0:
			return "", nil, &fs.PathError{Op: "open", Path: next, Err: syscall.ENOTDIR}
		}
		at = next
	}
	return at, nil, nil
}
