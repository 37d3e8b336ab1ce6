// Package atomicfile is the one room that writes files. A file is replaced as
// a whole or not at all, also when the process is killed or the power fails:
// what is read is either all of the old bytes or all of the new ones. It also
// has files that grow over several runs and are then committed, scratch files,
// and locks.
//
// Every system call that changes something lies between two numbered crash
// points. They do nothing unless the program is built with the tag
// "crashpoints".
package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
)

// ErrTooLarge is wrapped when a file is larger than the reader allows.
var ErrTooLarge = errors.New("file is too large")

// ErrNotEmpty is wrapped when a folder is to be removed that holds something.
var ErrNotEmpty = errors.New("folder is not empty")

// ErrBusy is wrapped when another writer has the ingest file open.
var ErrBusy = errors.New("another vicr is writing it")

// A NotRegularError says that something else than a plain file lies where one
// was expected: a symbolic link, a folder, a FIFO, a device. It was left as it is.
type NotRegularError struct {
	Path string
	Mode fs.FileMode
}

func (e *NotRegularError) Error() string {
	return fmt.Sprintf("%q is %s, not a regular file", e.Path, kind(e.Mode))
}

func kind(m fs.FileMode) string {
	switch {
	case m&fs.ModeSymlink != 0:
		return "a symbolic link"
	case m.IsDir():
		return "a folder"
	case m&fs.ModeNamedPipe != 0:
		return "a FIFO"
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeDevice != 0:
		return "a device"
	}
	return "something special"
}

// A LockedError says that somebody else held a lock for as long as was waited.
type LockedError struct {
	Path string
	PID  int // of the process that holds it; 0 when that is not known
}

func (e *LockedError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("%q is locked by another process", e.Path)
	}
	return fmt.Sprintf("%q is locked by process %d", e.Path, e.PID)
}

// An operation names a system call that changes something, for the log of a
// build with crash points.
type operation struct {
	kind, path, to string
	data           []byte
	at             int64       // where in the file
	mode           fs.FileMode // of a new folder, or that a file or folder gets
	owner          *Owner      // that a file gets
}

// The kinds of operations.
const (
	opCreate   = "create"
	opWrite    = "write"
	opAttr     = "attr" // permissions, owner, extended attributes
	opTruncate = "truncate"
	opSync     = "fsync"
	opRename   = "rename"
	opRemove   = "remove"
	opMkdir    = "mkdir"
	opSyncDir  = "fsyncdir"
	opOther    = "other" // a signal, a program
)

// mutate makes one system call that changes something, between two crash points.
func mutate(what operation, op func() error) error {
	if err := crashPoint(); err != nil {
		return err
	}
	if err := op(); err != nil {
		return err
	}
	if err := opLog(what); err != nil {
		return err
	}
	return crashPoint()
}

// Mutate is for what changes the machine otherwise than by writing files, a
// signal or a program: it lies between two crash points as every write does.
func Mutate(op func() error) error { return mutate(operation{kind: opOther}, op) }
