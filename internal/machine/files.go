package machine

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
)

// ErrTooLarge is wrapped when a file is larger than the reader allows.
var ErrTooLarge = errors.New("larger than allowed")

// A NotRegularError says that a path leads to something other than a regular file.
type NotRegularError struct {
	Path string
	Mode fs.FileMode
}

func (e *NotRegularError) Error() string {
	return fmt.Sprintf("%q is %s, not a regular file", e.Path, kindOf(e.Mode))
}

func kindOf(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "a folder"
	case m&fs.ModeNamedPipe != 0:
		return "a pipe"
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeDevice != 0:
		return "a device"
	default:
		return "special"
	}
}

// Name is the path in the form that an [fs.FS] takes: slashes, none in front.
// The drive of a Windows path is its first element; "UNC" stands for the two
// backslashes of a share.
func Name(p string) string {
	if rest, ok := strings.CutPrefix(p, `\\`); ok {
		p = `UNC\` + rest
	} else if !hasDrive(p) {
		return first(strings.TrimPrefix(path.Clean("/"+p), "/"), ".")
	}
	return path.Clean(strings.ReplaceAll(p, `\`, "/"))
}

func hasDrive(p string) bool {
	return len(p) >= 2 && p[1] == ':' && ('a' <= p[0]|0x20 && p[0]|0x20 <= 'z')
}

// Stat describes what is at a path, symbolic links followed.
func (m Machine) Stat(p string) (fs.FileInfo, error) { return fs.Stat(m.files(), Name(p)) }

// ReadDir lists a folder by name.
func (m Machine) ReadDir(p string) ([]fs.DirEntry, error) { return fs.ReadDir(m.files(), Name(p)) }

// ReadLink is where a symbolic link points; an error where links cannot be read.
func (m Machine) ReadLink(p string) (string, error) { return fs.ReadLink(m.files(), Name(p)) }

// ReadFile reads a regular file of at most limit bytes, symbolic links
// followed as container tools do. It returns a [*NotRegularError] without
// waiting for the other end of a pipe, or an error that wraps [ErrTooLarge].
func (m Machine) ReadFile(p string, limit int64) (_ []byte, err error) {
	f, err := m.files().Open(Name(p))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, &NotRegularError{Path: p, Mode: info.Mode()}
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		return nil, fmt.Errorf("%q: %w: the limit is %d bytes", p, ErrTooLarge, limit)
	}
	return data, err
}

func (m Machine) files() fs.FS {
	switch {
	case m.FS != nil:
		return m.FS
	case m.Root != "":
		return beneath(m.Root)
	default:
		return whole{}
	}
}

// Opening a pipe to read waits for a writer, unless it is done without blocking.
const readOnly = os.O_RDONLY | syscall.O_NONBLOCK

// whole is the file system of this machine, all drives of it.
type whole struct{}

func native(name string) string {
	p := filepath.FromSlash(name)
	if filepath.VolumeName(p) != "" {
		return p
	}
	if rest, ok := strings.CutPrefix(p, `UNC\`); ok && filepath.Separator == '\\' {
		return `\\` + rest
	}
	return string(filepath.Separator) + p
}

func (whole) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	f, err := os.OpenFile(native(name), readOnly, 0) //nolint:forbidigo // only read; os.Open waits at a pipe
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (whole) Stat(name string) (fs.FileInfo, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrInvalid}
	}
	return os.Stat(native(name))
}

func (whole) ReadLink(name string) (string, error) {
	if !fs.ValidPath(name) {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
	}
	return os.Readlink(native(name))
}

func (whole) Lstat(name string) (fs.FileInfo, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "lstat", Path: name, Err: fs.ErrInvalid}
	}
	return os.Lstat(native(name))
}

// beneath is a folder that nothing leads out of, no symbolic link either. It
// is opened for each call, so that a Machine need not be closed.
type beneath string

func (dir beneath) Open(name string) (fs.File, error) {
	root, err := os.OpenRoot(string(dir))
	if err != nil {
		return nil, err
	}
	defer root.Close() //nolint:errcheck // only read
	f, err := root.OpenFile(inTree(name), readOnly, 0)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (dir beneath) Stat(name string) (fs.FileInfo, error) {
	root, err := os.OpenRoot(string(dir))
	if err != nil {
		return nil, err
	}
	defer root.Close() //nolint:errcheck // only read
	return root.Stat(inTree(name))
}

func (dir beneath) ReadLink(name string) (string, error) {
	root, err := os.OpenRoot(string(dir))
	if err != nil {
		return "", err
	}
	defer root.Close() //nolint:errcheck // only read
	return root.Readlink(inTree(name))
}

func (dir beneath) Lstat(name string) (fs.FileInfo, error) {
	root, err := os.OpenRoot(string(dir))
	if err != nil {
		return nil, err
	}
	defer root.Close() //nolint:errcheck // only read
	return root.Lstat(inTree(name))
}

// inTree leaves out the drive, which a tree has not.
func inTree(name string) string {
	if hasDrive(name) {
		name = first(strings.TrimPrefix(name[2:], "/"), ".")
	}
	return filepath.FromSlash(name)
}
