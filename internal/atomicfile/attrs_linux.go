package atomicfile

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// readAttrs returns those of the attributes that are the file's own.
func readAttrs(f *os.File) (map[string][]byte, error) {
	fd := int(f.Fd()) //nolint:gosec // a descriptor is a small number
	list, err := grown(func(b []byte) (int, error) { return unix.Flistxattr(fd, b) })
	if errors.Is(err, unix.ENOTSUP) {
		return nil, nil
	}
	if err != nil {
		return nil, &fs.PathError{Op: "listxattr", Path: f.Name(), Err: err}
	}
	attrs := map[string][]byte{}
	for name := range strings.SplitSeq(string(list), "\x00") {
		if !ownAttr(name) {
			continue
		}
		value, err := grown(func(b []byte) (int, error) { return unix.Fgetxattr(fd, name, b) })
		switch {
		case err == nil:
			attrs[name] = value
		case errors.Is(err, unix.ENODATA), errors.Is(err, unix.ENOTSUP):
		default:
			return nil, &fs.PathError{Op: "getxattr", Path: f.Name(), Err: err}
		}
	}
	return attrs, nil
}

// grown asks with more room until there is enough: what is asked for can grow
// in between.
func grown(get func([]byte) (int, error)) ([]byte, error) {
	const most = 64 << 10 // bytes: the kernel has no larger ones
	for size := 1 << 10; ; size *= 8 {
		b := make([]byte, size)
		n, err := get(b)
		if errors.Is(err, unix.ERANGE) && size < most {
			continue
		}
		if err != nil {
			return nil, err
		}
		return b[:n], nil
	}
}

// setAttrs gives the file these attributes and takes others of its own away.
func setAttrs(f *os.File, want map[string][]byte) error {
	have, err := readAttrs(f)
	if err != nil {
		return err
	}
	fd := int(f.Fd()) //nolint:gosec // a descriptor is a small number
	for name, value := range want {
		if is, ok := have[name]; ok && bytes.Equal(is, value) {
			continue
		}
		err := mutate(operation{kind: opAttr, path: f.Name()}, func() error {
			return unless(name, unix.Fsetxattr(fd, name, value, 0))
		})
		if err != nil {
			return &fs.PathError{Op: "setxattr", Path: f.Name(), Err: err}
		}
	}
	for name := range have {
		if _, ok := want[name]; ok || strings.HasPrefix(name, "security.") {
			continue
		}
		err := mutate(operation{kind: opAttr, path: f.Name()}, func() error {
			return unless(name, unix.Fremovexattr(fd, name))
		})
		if err != nil {
			return &fs.PathError{Op: "removexattr", Path: f.Name(), Err: err}
		}
	}
	return nil
}

// unless drops the error of what the file can go without.
func unless(name string, err error) error {
	if errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENODATA) || optional(name) && errors.Is(err, fs.ErrPermission) {
		return nil
	}
	return err
}
