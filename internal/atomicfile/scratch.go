package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
)

// A ScratchFile holds bytes for as long as it is open, and nobody else sees
// them. Its methods may be called at the same time, but Write only by one.
type ScratchFile struct {
	tree *Tree
	name string // "": already removed
	file *os.File
	size int64
}

// Scratch makes a scratch file in the folder dir, which must exist. Close it:
// that removes it. Where the system can, a killed process leaves nothing either.
func Scratch(dir string) (*ScratchFile, error) {
	t := Machine()
	name, err := t.name(dir)
	if err != nil {
		return nil, err
	}
	name, f, err := t.create(name)
	if err != nil {
		return nil, t.named(err, dir)
	}
	s := &ScratchFile{tree: t, name: name, file: f}
	if renamesOpen {
		if err := t.drop(name); err != nil {
			return nil, errors.Join(t.named(err, dir), f.Close())
		}
		s.name = ""
	}
	return s, nil
}

// Write appends.
func (s *ScratchFile) Write(p []byte) (n int, err error) {
	n, err = s.file.WriteAt(p, s.size)
	s.size += int64(n)
	return n, err
}

// WriteAt writes somewhere, as [io.WriterAt]; several may at the same time. Size
// does not count it: who uses it has shared the file out.
func (s *ScratchFile) WriteAt(p []byte, off int64) (int, error) { return s.file.WriteAt(p, off) }

// ReadAt reads bytes that were written, as [io.ReaderAt].
func (s *ScratchFile) ReadAt(p []byte, off int64) (int, error) { return s.file.ReadAt(p, off) }

// Size says how many bytes were written.
func (s *ScratchFile) Size() int64 { return s.size }

// Close removes the file.
func (s *ScratchFile) Close() error {
	err := s.file.Close()
	if s.name != "" {
		err = errors.Join(err, s.tree.drop(s.name))
	}
	return err
}

// A ScratchFolder is a folder for as long as it is needed, which nobody else
// can look into.
type ScratchFolder struct{ path string }

// NewScratchFolder makes a scratch folder in the folder dir, which must exist.
// Remove it. The error is an [*fs.PathError].
func NewScratchFolder(dir string) (*ScratchFolder, error) {
	s := &ScratchFolder{path: filepath.Join(dir, tempName())}
	const mode = 0o700
	err := mutate(operation{kind: opMkdir, path: s.path, mode: mode}, func() error { return os.Mkdir(s.path, mode) })
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Path is where it lies.
func (s *ScratchFolder) Path() string { return s.path }

// Remove removes it with all that is in it. The error is an [*fs.PathError].
func (s *ScratchFolder) Remove() error {
	return mutate(operation{kind: opRemove, path: s.path}, func() error { return os.RemoveAll(s.path) })
}
