//go:build unix

package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const openFolder = os.O_RDONLY | syscall.O_DIRECTORY | openNoBlock

func isRoot() bool { return os.Geteuid() == 0 }

// walk goes from the root of the machine down to path, over symbolic links, and
// returns where it came to. It stops at what others than root and who runs us
// could change. With file, what it comes to must be there and no folder.
func walk(path string, file bool) (real string, bad *untrusted, err error) {
	const most = 40 // links, as the kernel has it
	links, open := 0, false
	at, rest := "/", elements(path)
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		if name == ".." {
			at = filepath.Dir(at)
			continue
		}
		next := filepath.Join(at, name)
		info, err := os.Lstat(next)
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
		if o, ok := ownerOf(info); ok && o.UID != 0 && o.UID != os.Geteuid() && (open || !plain) {
			return "", &untrusted{next, "belongs to another user"}, nil
		}
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			if links++; links > most {
				return "", &untrusted{next, "leads round in a circle"}, nil
			}
			to, err := os.Readlink(next)
			if err != nil {
				return "", nil, err
			}
			if filepath.IsAbs(to) {
				at = "/"
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

func elements(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}
