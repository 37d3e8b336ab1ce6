package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// writeAhead is after how many bytes the disk begins to write, so that Commit
// has little to wait for.
const writeAhead = 16 << 20

// An Ingest is a file that grows, over several runs if need be, until it is
// whole and committed under its final name. It has one writer at a time. Who
// uses it calls one of Commit, Keep and Discard at the end, and nothing after.
// Its methods are not for use at the same time, ReadAt and Reader aside.
type Ingest struct {
	tree *Tree
	path string
	name string
	file *os.File
	size int64
	sent int64 // bytes that the disk was told to begin with
}

// OpenIngest opens the file at path for its one writer, with the bytes that an
// earlier run left in it, or makes it (0600). The folder must exist. The error
// wraps [ErrBusy] when there is another writer, and is else a
// [*NotRegularError] or an [*fs.PathError].
func OpenIngest(path string) (*Ingest, error) {
	t := Machine()
	name, err := t.name(path)
	if err != nil {
		return nil, err
	}
	f, err := t.openLocked(name, path, false)
	if err != nil {
		return nil, err
	}
	if f == nil {
		return nil, fmt.Errorf("%q: %w", path, ErrBusy)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &Ingest{tree: t, path: path, name: name, file: f, size: info.Size(), sent: info.Size()}, nil
}

// Size says how many bytes there are.
func (i *Ingest) Size() int64 { return i.size }

// Write appends. After an error the bytes that were taken count in Size.
func (i *Ingest) Write(p []byte) (n int, err error) {
	err = mutate(operation{kind: opWrite, path: i.file.Name(), data: p, at: i.size}, func() error {
		n, err = i.file.WriteAt(p, i.size)
		return err
	})
	i.size += int64(n)
	if i.size-i.sent >= writeAhead {
		beginWriting(i.file, i.sent, i.size-i.sent)
		i.sent = i.size
	}
	return n, err
}

// ReadAt reads bytes that were written, as [io.ReaderAt].
func (i *Ingest) ReadAt(p []byte, off int64) (int, error) { return i.file.ReadAt(p, off) }

// Reader reads from the first byte up to those that are there now, for hashing
// them anew.
func (i *Ingest) Reader() io.Reader { return io.NewSectionReader(i.file, 0, i.size) }

// Truncate drops what lies behind size bytes.
func (i *Ingest) Truncate(size int64) error {
	if size > i.size {
		return &fs.PathError{Op: "truncate", Path: i.path, Err: fs.ErrInvalid}
	}
	if err := mutate(operation{kind: opTruncate, path: i.file.Name(), at: size}, func() error { return i.file.Truncate(size) }); err != nil {
		return err
	}
	i.size, i.sent = size, min(i.sent, size)
	return nil
}

// Commit gives the file mode and its final name, on the same file system, all
// its bytes on the disk before the name. What had that name is replaced. When
// it fails before that, the file stays for the next run.
func (i *Ingest) Commit(final string, mode fs.FileMode) error {
	to, err := i.tree.name(final)
	if err == nil && modesCount {
		err = mutate(operation{kind: opAttr, path: i.file.Name()}, func() error { return i.file.Chmod(mode & chmodBits) })
	}
	if err == nil {
		err = mutate(operation{kind: opSync, path: i.file.Name()}, i.file.Sync)
	}
	rename := func() error { return i.tree.rename(i.name, to) }
	if err == nil && renamesOpen { // under the lock, where that can be
		err = rename()
	}
	if cerr := i.file.Close(); err == nil {
		err = cerr
	}
	if err == nil && !renamesOpen {
		err = rename()
	}
	if err == nil {
		err = i.tree.syncDir(filepath.Dir(to))
	}
	if from := filepath.Dir(i.name); err == nil && from != filepath.Dir(to) {
		err = i.tree.syncDir(from)
	}
	return i.tree.named(err, final)
}

// Keep closes the file and leaves it for the next run.
func (i *Ingest) Keep() error { return i.file.Close() }

// Discard removes the file.
func (i *Ingest) Discard() error {
	if renamesOpen {
		return errors.Join(i.tree.Remove(i.path), i.file.Close())
	}
	return errors.Join(i.file.Close(), i.tree.Remove(i.path))
}
