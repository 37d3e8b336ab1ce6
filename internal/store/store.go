// Package store keeps images on disk in OCI image layouts: vicr's own store,
// and folders that other tools read and write too. A blob is under its digest
// only when it is whole, was verified and is on the disk; index.json is
// replaced as a whole under a lock. What a killed process leaves is the part of
// a blob in the folder ingest, and the next run goes on there.
package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/atomicfile"
)

// What lies in a layout (image-spec, image-layout.md), and what is ours.
const (
	layoutFile   = "oci-layout"
	indexFile    = "index.json"
	blobsFolder  = "blobs"
	ingestFolder = "ingest" // ours: parts of blobs, and the lock
	lockFile     = "lock"

	layoutVersion = "1.0.0"
	maxLayoutFile = 4 << 10  // bytes
	maxIndex      = 16 << 20 // bytes; an entry has about 300

	dirMode  fs.FileMode = 0o755
	fileMode fs.FileMode = 0o644
)

// A Store is an OCI image layout. It is safe for use by several goroutines, and
// by several processes at the same time.
type Store struct {
	dir    string
	layout bool // names are tags, as other tools have them
	euid   int
	err    error // why dir is no folder to work with

	buffers sync.Pool // of *[]byte, for blobs that are taken
}

// Open opens vicr's own store, where an image has its full name. Nothing is
// read or made yet.
func Open(dir string) *Store { return at(dir, false) }

// OpenLayout opens a layout where a name is a tag, and "" is the only image.
// Names that containerd and docker save write are understood too. Nothing is
// read or made yet.
func OpenLayout(dir string) *Store { return at(dir, true) }

func at(dir string, layout bool) *Store {
	abs, err := filepath.Abs(dir)
	s := &Store{dir: abs, layout: layout, euid: os.Geteuid(), err: err}
	s.buffers.New = func() any { b := make([]byte, bufferSize); return &b }
	return s
}

// An UnsafeError says that root will not use a folder which others can change
// or lead elsewhere.
type UnsafeError struct {
	Dir string
	Why string
}

func (e *UnsafeError) Error() string { return fmt.Sprintf("%q is not safe for root: %s", e.Dir, e.Why) }

// A LayoutError says that a folder is not an OCI layout that can be read.
type LayoutError struct {
	Dir string
	Why string // holds no raw foreign bytes
}

func (e *LayoutError) Error() string { return fmt.Sprintf("%q is no OCI layout: %s", e.Dir, e.Why) }

// check looks at the folders before anything in them is read or written. Root
// writes into none that somebody else owns, can change or leads elsewhere: what
// is written there are bytes that a registry chose.
func (s *Store) check() error {
	if s.err != nil || s.euid != 0 {
		return s.err
	}
	dirs := []string{s.dir, filepath.Join(s.dir, ingestFolder), filepath.Join(s.dir, blobsFolder)}
	algorithms, err := os.ReadDir(dirs[2])
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, a := range algorithms {
		dirs = append(dirs, filepath.Join(dirs[2], a.Name()))
	}
	for _, dir := range dirs {
		if err := s.own(dir); err != nil {
			return err
		}
	}
	return nil
}

// own says whether a folder, if it is there, is root's alone.
func (s *Store) own(dir string) error {
	info, err := os.Lstat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&fs.ModeSymlink != 0:
		return &UnsafeError{Dir: dir, Why: "it is a symbolic link"}
	case info.Mode().Perm()&0o022 != 0:
		return &UnsafeError{Dir: dir, Why: "others may write to it"}
	}
	if owner, ok := atomicfile.OwnerOf(info); ok && owner.UID != s.euid {
		return &UnsafeError{Dir: dir, Why: "it belongs to another user"}
	}
	return nil
}

// prepare makes the folders that every layout has.
func (s *Store) prepare() error {
	if err := s.check(); err != nil {
		return err
	}
	tree := atomicfile.Machine()
	if _, err := tree.MkdirAll(filepath.Join(s.dir, ingestFolder), dirMode); err != nil {
		return err
	}
	if err := s.check(); err != nil { // somebody may have been faster
		return err
	}
	_, err := s.checkVersion()
	return err
}

// mark makes the file that says that this is a layout. The caller holds the lock.
func (s *Store) mark() error {
	has, err := s.checkVersion()
	if err != nil || has {
		return err
	}
	return atomicfile.Machine().Write(filepath.Join(s.dir, layoutFile), []byte(`{"imageLayoutVersion":"`+layoutVersion+`"}`), fileMode)
}

// checkVersion says whether there is a file that says that this is a layout,
// and fails if it is one of another kind.
func (s *Store) checkVersion() (has bool, err error) {
	raw, err := s.read(layoutFile, maxLayoutFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	}
	var doc struct {
		Version string `json:"imageLayoutVersion"`
	}
	if json.Unmarshal(raw, &doc) != nil || !strings.HasPrefix(doc.Version, "1.") {
		return true, &LayoutError{Dir: s.dir, Why: "its file oci-layout does not say version 1"}
	}
	return true, nil
}

// read reads a file of the layout, as it is before or after it is replaced.
func (s *Store) read(name string, limit int64) ([]byte, error) {
	f, err := s.open(name)
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if int64(len(raw)) > limit {
		return nil, &LayoutError{Dir: s.dir, Why: fmt.Sprintf("%s has more than %d bytes", name, limit)}
	}
	return raw, nil
}

// open opens a file of the layout, never one that could be waited for. Links
// are followed, since some tools make layouts of them, but not for root.
func (s *Store) open(name string) (*os.File, error) {
	path := filepath.Join(s.dir, name)
	if info, err := os.Lstat(path); err == nil && s.euid == 0 && info.Mode()&fs.ModeSymlink != 0 {
		// What a link leads to may be for root's eyes only.
		return nil, &UnsafeError{Dir: path, Why: "it is a symbolic link"}
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &LayoutError{Dir: s.dir, Why: strconv.Quote(name) + " is not a file"}
	}
	return os.Open(path) //nolint:gosec // a name of ours, or made of a digest that was parsed
}

// path is where in the layout a blob lies. The digest is proven well-formed here again, since
// a path is made of it.
func (s *Store) path(d v1.Hash) (string, error) {
	if _, err := v1.NewHash(d.String()); err != nil {
		return "", &LayoutError{Dir: s.dir, Why: "a digest that is none was asked for"}
	}
	return filepath.Join(blobsFolder, d.Algorithm, d.Hex), nil
}

// IsPart says whether path is that of a part of a blob in a store or a layout,
// which the next run goes on with.
func IsPart(path string) bool {
	_, err := v1.NewHash(strings.Replace(filepath.Base(path), "-", ":", 1))
	return err == nil && filepath.Base(filepath.Dir(path)) == ingestFolder
}

// has says whether the blob is there: under its name, as only a rename of
// something whole puts it there, and, for what other tools wrote, of the right size.
func (s *Store) has(desc v1.Descriptor) (bool, error) {
	path, err := s.path(desc.Digest)
	if err != nil {
		return false, err
	}
	info, err := os.Lstat(filepath.Join(s.dir, path))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return info.Mode().IsRegular() && info.Size() == desc.Size, nil
}
