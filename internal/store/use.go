package store

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"syscall"
	"time"

	"github.com/vicr-cli/vicr/internal/atomicfile"
)

// useFile is the lock that whoever moves images into vicr's store shares, from
// the first blob until its sink is closed, and that [Store.Collect] takes alone:
// a blob that an image is about to name is not removed, whether it was put or
// found. On the way to it everyone passes turnFile, which a collector holds while
// it waits: who comes later lets it go first. Both are taken before the lock of
// index.json, never after it.
const (
	useFile  = "use"
	turnFile = "turn"

	// collectWait is how long a collector keeps newcomers waiting.
	collectWait = 2 * time.Second
)

func (s *Store) lockPath(name string) string { return filepath.Join(s.dir, ingestFolder, name) }

// share takes part in the use of the store, beside others.
func (s *Store) share(ctx context.Context) (*atomicfile.HeldLock, error) {
	turn, err := atomicfile.LockShared(ctx, s.lockPath(turnFile), lockWait)
	if err != nil {
		return nil, err
	}
	use, err := atomicfile.LockShared(ctx, s.lockPath(useFile), lockWait)
	return use, errors.Join(err, turn.Unlock())
}

// alone takes the store for one collector. It waits for as long as ctx lasts, and
// lets those who came meanwhile go first again and again; waiting is told who is
// waited for.
func (s *Store) alone(ctx context.Context, waiting func(pid int)) (release func() error, err error) {
	for wait := time.Duration(0); ; wait = collectWait {
		release, err := s.tryAlone(ctx, wait)
		locked, ok := errors.AsType[*atomicfile.LockedError](err)
		if !ok {
			return release, err
		}
		waiting(locked.PID)
		select {
		case <-time.After(roundPause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (s *Store) tryAlone(ctx context.Context, wait time.Duration) (release func() error, err error) {
	turn, err := atomicfile.Lock(ctx, s.lockPath(turnFile), wait)
	if err != nil {
		return nil, err
	}
	use, err := atomicfile.Lock(ctx, s.lockPath(useFile), wait)
	if err != nil {
		return nil, errors.Join(err, turn.Unlock())
	}
	return func() error { return errors.Join(use.Unlock(), turn.Unlock()) }, nil
}

// enter takes part in the store, once. Layouts are collected by nobody. Where that
// cannot be written, what is there can still be found: see [Sink.denied].
func (s *Sink) enter(ctx context.Context) error {
	if s.store.layout {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.using != nil || s.denied != nil {
		return nil
	}
	if err := s.store.prepare(); err != nil {
		return err
	}
	lock, err := s.store.share(ctx)
	if unwritable(err) {
		s.denied = err
		return nil
	}
	s.using = lock
	return err
}

// mayWrite is why nothing can be put; nil if it can.
func (s *Sink) mayWrite() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.denied
}

// unwritable says whether err is of a lock in a store that is not ours to change.
func unwritable(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)
}

// leave ends it.
func (s *Sink) leave() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.using == nil {
		return nil
	}
	err := s.using.Unlock()
	s.using = nil
	return err
}

// still keeps others from removing blobs while the store is looked at.
func (s *Store) still(ctx context.Context) (release func() error, err error) {
	return s.seen(func() (func() error, error) {
		lock, err := s.share(ctx)
		if err != nil {
			return nil, err
		}
		return lock.Unlock, nil
	})
}

// seen takes a lock for looking at the store, if there is anything to lock. What
// cannot be written to is changed by nobody either, or not from here.
func (s *Store) seen(lock func() (func() error, error)) (release func() error, err error) {
	nothing := func() error { return nil }
	if err := s.check(); err != nil {
		return nil, err
	}
	_, err = atomicfile.Machine().Stat(filepath.Join(s.dir, ingestFolder))
	if errors.Is(err, fs.ErrNotExist) {
		return nothing, nil
	}
	if err != nil {
		return nil, err
	}
	release, err = lock()
	if unwritable(err) {
		return nothing, nil
	}
	return release, err
}
