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
	collectWait = 10 * time.Second
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

// alone takes the store for one collector.
func (s *Store) alone(ctx context.Context) (release func() error, err error) {
	turn, err := atomicfile.Lock(ctx, s.lockPath(turnFile), lockWait)
	if err != nil {
		return nil, err
	}
	use, err := atomicfile.Lock(ctx, s.lockPath(useFile), collectWait)
	if err != nil {
		return nil, errors.Join(err, turn.Unlock())
	}
	return func() error { return errors.Join(use.Unlock(), turn.Unlock()) }, nil
}

// enter takes part in the store, once. Layouts are collected by nobody.
func (s *Sink) enter(ctx context.Context) error {
	if s.store.layout {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.using != nil {
		return nil
	}
	if err := s.store.prepare(); err != nil {
		return err
	}
	lock, err := s.store.share(ctx)
	s.using = lock
	return err
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

// still keeps others from removing blobs while the store is looked at. What
// cannot be written to is removed by nobody either, or not from here.
func (s *Store) still(ctx context.Context) (release func() error, err error) {
	has, err := s.exists()
	if err != nil || !has {
		return func() error { return nil }, err
	}
	lock, err := s.share(ctx)
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrNotExist):
		return func() error { return nil }, nil
	case err != nil:
		return nil, err
	}
	return lock.Unlock, nil
}
