package store

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"syscall"

	"github.com/vicr-cli/vicr/internal/atomicfile"
)

// useFile is the lock that whoever moves images into vicr's store shares, from
// the first blob until its sink is closed, and that [Store.Collect] takes alone:
// a blob that an image is about to name is not removed, whether it was put or
// found. It is taken before the lock of index.json, never after it.
const useFile = "use"

func (s *Store) usePath() string { return filepath.Join(s.dir, ingestFolder, useFile) }

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
	lock, err := atomicfile.LockShared(ctx, s.store.usePath(), lockWait)
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
	lock, err := atomicfile.LockShared(ctx, s.usePath(), lockWait)
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrNotExist):
		return func() error { return nil }, nil
	case err != nil:
		return nil, err
	}
	return lock.Unlock, nil
}
