package atomicfile

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// The marks of chattr(1), as of linux/fs.h.
const (
	markImmutable = 0x10
	markAppend    = 0x20
)

// unchangeable says whether the file or folder has a mark that keeps it from
// being replaced, known as path. File systems without marks say so.
func unchangeable(f *os.File, path string) error {
	marks, err := unix.IoctlGetUint32(int(f.Fd()), unix.FS_IOC_GETFLAGS) //nolint:gosec // a descriptor is a small number
	switch {
	case err != nil:
		return nil //nolint:nilerr // as above
	case marks&markImmutable != 0:
		return &ImmutableError{Path: path, Command: "chattr -i " + path}
	case marks&markAppend != 0:
		return &ImmutableError{Path: path, Command: "chattr -a " + path}
	}
	return nil
}

// writable says whether names in the folder can be changed.
func writable(dir *os.File) error {
	fd := int(dir.Fd()) //nolint:gosec // a descriptor is a small number
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err == nil && st.Flags&unix.ST_RDONLY != 0 {
		return &fs.PathError{Op: "write", Path: dir.Name(), Err: unix.EROFS}
	}
	err := unix.Faccessat(fd, ".", unix.W_OK|unix.X_OK, unix.AT_EACCESS)
	if errors.Is(err, unix.EROFS) || errors.Is(err, unix.EACCES) {
		return &fs.PathError{Op: "write", Path: dir.Name(), Err: err}
	}
	return nil
}
