package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// meddled is a system on which somebody does something just after the first
// time that a file was opened for writing.
type meddled struct {
	system
	meddle func(name string) error
	done   bool
}

func (m *meddled) OpenFile(name string, flag int, perm fs.FileMode) (*os.File, error) {
	f, err := m.system.OpenFile(name, flag, perm)
	if err == nil && flag&os.O_RDWR != 0 && !m.done {
		m.done = true
		err = m.meddle(name)
	}
	return f, err
}

// Whoever held the lock may remove or rename its file between our opening it
// and our locking it. What we hold then is the lock of a file that nobody sees.
func TestLockOfAFileThatIsGoneIsNoLock(t *testing.T) {
	t.Parallel()
	for name, meddle := range map[string]func(name string) error{
		"removed":   os.Remove,
		"committed": func(name string) error { return os.Rename(name, name+".final") },
		"replaced": func(name string) error {
			if err := os.Rename(name, name+".final"); err != nil {
				return err
			}
			return os.WriteFile(name, nil, 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "lock")
			tree := &Tree{fs: &meddled{meddle: meddle}}
			lock, err := tree.Lock(t.Context(), path, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			there, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if held, err := lock.file.Stat(); err != nil || !os.SameFile(there, held) {
				t.Errorf("it holds the lock of another file: %v", err)
			}
			if err := lock.Unlock(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A file that is replaced as a whole just before it is opened is read as it is then.
func TestReadTakesTheNewFileWhenItIsReplaced(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	data, _, err := (&Tree{fs: &replaced{data: []byte("new")}}).Read(path, 10)
	if err != nil || string(data) != "new" {
		t.Errorf("read %q, %v", data, err)
	}
}

// replaced is a system on which somebody replaces a file when it is opened for
// the first time.
type replaced struct {
	system
	data []byte
}

func (r *replaced) OpenFile(name string, flag int, perm fs.FileMode) (*os.File, error) {
	if r.data != nil {
		data := r.data
		r.data = nil
		if err := Machine().Write(name, data, 0); err != nil {
			return nil, err
		}
	}
	return r.system.OpenFile(name, flag, perm)
}

// A file that is swapped for another between being looked at and being opened
// is not read: what was looked at decides what may be read.
func TestReadNoticesASwap(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, other := filepath.Join(dir, "f"), filepath.Join(dir, "other")
	for _, p := range []string{path, other} {
		if err := os.WriteFile(p, []byte(p), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tree := &Tree{fs: &swapped{to: other}}
	if data, _, err := tree.Read(path, 1000); err == nil {
		t.Errorf("read %q", data)
	}
}

// swapped opens another file than the one that was asked for.
type swapped struct {
	system
	to string
}

func (s *swapped) OpenFile(string, int, fs.FileMode) (*os.File, error) { return os.Open(s.to) }

// emptied is a system on which what keeps a folder from being removed is gone
// just after.
type emptied struct{ system }

func (e emptied) Remove(name string) error {
	err := e.system.Remove(name)
	if errors.Is(err, fs.ErrExist) {
		return errors.Join(err, os.Remove(filepath.Join(name, "lock")))
	}
	return err
}

// Others take a lock in a folder and give it back while it is to be removed.
func TestRemoveDirOfAFolderThatWasInUse(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "d")
	if err := os.Mkdir(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "lock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tree := &Tree{fs: emptied{}}
	if err := tree.RemoveDir(dir); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("%v", err)
	}
	if err := tree.RemoveDir(dir); err != nil {
		t.Error(err)
	}
}

// left is a system on which a folder goes with the last file in it.
type left struct{ system }

func (l left) Remove(name string) error {
	return errors.Join(l.system.Remove(name), os.Remove(filepath.Dir(name)))
}

// Whoever removed the folder itself in the meantime did no harm.
func TestRemoveInAFolderThatIsGone(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "d")
	if err := os.Mkdir(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "lock")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (&Tree{fs: left{}}).Remove(path); err != nil {
		t.Error(err)
	}
}
