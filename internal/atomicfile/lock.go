package atomicfile

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"time"
)

// lockPoll is how long to wait between two looks at a lock that is held.
const lockPoll = 20 * time.Millisecond

// A HeldLock is a lock that this process holds until Unlock, Remove, or its end.
type HeldLock struct {
	tree *Tree
	path string
	file *os.File
}

// Lock is [Tree.Lock] on the machine's own tree.
func Lock(ctx context.Context, path string, wait time.Duration) (*HeldLock, error) {
	return Machine().Lock(ctx, path, wait)
}

// Lock takes the lock of the file at path, which it makes (0600) when it is
// missing, and waits at most wait for whoever holds it; a process that ended
// holds nothing. The folder must exist. The error is a [*LockedError], a
// [*NotRegularError], an [*fs.PathError], or the context's.
func (t *Tree) Lock(ctx context.Context, path string, wait time.Duration) (*HeldLock, error) {
	return t.lock(ctx, path, wait, false)
}

// LockShared is [Lock] beside all who take it so too, and nobody else.
func LockShared(ctx context.Context, path string, wait time.Duration) (*HeldLock, error) {
	return Machine().lock(ctx, path, wait, true)
}

func (t *Tree) lock(ctx context.Context, path string, wait time.Duration, shared bool) (*HeldLock, error) {
	name, err := t.name(path)
	if err != nil {
		return nil, err
	}
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	poll := time.NewTicker(lockPoll)
	defer poll.Stop()
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		f, err := t.openLocked(name, path, shared)
		if err != nil {
			return nil, err
		}
		if f != nil {
			if shared { // the file has room for one name, and whose it has is gone
				unsign(f)
			} else {
				sign(f)
			}
			return &HeldLock{tree: t, path: path, file: f}, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-deadline.C:
			return nil, &LockedError{Path: t.Real(path), PID: t.holder(path)}
		case <-poll.C:
		}
	}
}

const maxPID = 20 // bytes

// sign writes our number into the lock's file, for who waits to name. A lock is
// one also where that cannot be written.
func sign(f *os.File) {
	err := mutate(operation{kind: opTruncate, path: f.Name()}, func() error { return f.Truncate(0) })
	if err != nil {
		return
	}
	pid := strconv.AppendInt(nil, int64(os.Getpid()), 10)
	_ = mutate(operation{kind: opWrite, path: f.Name(), data: pid}, func() error { //nolint:errcheck // as above
		_, err := f.WriteAt(pid, 0)
		return err
	})
}

// unsign takes a number out of the lock's file.
func unsign(f *os.File) {
	if info, err := f.Stat(); err == nil && info.Size() > 0 {
		_ = mutate(operation{kind: opTruncate, path: f.Name()}, func() error { return f.Truncate(0) }) //nolint:errcheck // as of sign
	}
}

// holder is who wrote its number into the lock's file; 0 when nobody did.
func (t *Tree) holder(path string) int {
	data, _, err := t.Read(path, maxPID)
	if err != nil {
		return 0
	}
	pid, err := strconv.ParseInt(string(data), 10, 32)
	if err != nil || pid < 0 {
		return 0
	}
	return int(pid)
}

// openLocked opens the file called name, which it makes when it is missing,
// and takes its lock; nil when somebody else has it.
func (t *Tree) openLocked(name, path string, shared bool) (*os.File, error) {
	for {
		f, err := t.openOrCreate(name)
		if err != nil {
			if _, rerr := t.regular(name, path); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
				err = rerr
				return nil, err
			}
			return nil, t.named(err, path)
		}
		locked, err := tryLock(f, shared)
		if err != nil || !locked {
			return nil, errors.Join(err, f.Close())
		}
		// Whoever held it may have renamed or removed the file since it was opened.
		same, err := t.stillThere(f, name, path)
		if err == nil && same {
			return f, nil
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
	}
}

func (t *Tree) openOrCreate(name string) (f *os.File, err error) {
	flag := os.O_RDWR | openNoFollow | openNoBlock
	f, err = t.fs.OpenFile(name, flag, 0)
	if !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	err = mutate(operation{kind: opCreate, path: t.known(name)}, func() error {
		f, err = t.fs.OpenFile(name, flag|os.O_CREATE, tempMode)
		return err
	})
	if err != nil && f != nil {
		err = errors.Join(err, f.Close())
	}
	return f, err
}

func (t *Tree) stillThere(f *os.File, name, path string) (bool, error) {
	is, err := f.Stat()
	if err != nil {
		return false, err
	}
	want, err := t.regular(name, path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(is, want), err
}

// Unlock lets go of the lock; its file stays.
func (l *HeldLock) Unlock() error { return l.file.Close() }

// Remove removes the lock's file and lets go of the lock. Who waits for it
// notices and makes a new one.
func (l *HeldLock) Remove() error {
	if renamesOpen {
		return errors.Join(l.tree.Remove(l.path), l.file.Close())
	}
	return errors.Join(l.file.Close(), l.tree.Remove(l.path))
}
