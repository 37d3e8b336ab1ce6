package store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/atomicfile"
	"github.com/vicr-cli/vicr/internal/transfer"
)

const (
	bufferSize = 1 << 20   // bytes: a read takes all that the connection has
	writeSize  = 256 << 10 // bytes that a write has at least, but the last
	busyPoll   = 50 * time.Millisecond
)

// A Sink takes an image into the store.
type Sink struct {
	store *Store
	name  string

	mu     sync.Mutex
	using  *atomicfile.HeldLock // nil: nothing was put yet
	denied error                // why nothing can be put, for what is not there yet
}

var (
	_ transfer.Sink   = (*Sink)(nil)
	_ transfer.Keeper = (*Sink)(nil)
)

// Sink returns where an image of that name goes; in a layout, "" is an image
// without a name. Nothing is made yet.
func (s *Store) Sink(name string) *Sink { return &Sink{store: s, name: name} }

// PutBlob takes a blob: into a file in the folder ingest, where it stays if it
// is cut short; verified; to the disk; under its digest. A part that is there
// already is hashed again and gone on with; if it turns out not to fit, the
// blob is taken from its beginning, once. While another process takes the same
// blob this one waits. Errors: [*transfer.DigestError], [*UnsafeError],
// [*DamagedError] if a folder lies where the blob belongs, those of open and of
// the file system.
func (s *Sink) PutBlob(ctx context.Context, desc v1.Descriptor, open transfer.Opener) (int64, error) {
	path, err := s.store.path(desc.Digest)
	if err != nil {
		return 0, err
	}
	if err := s.enter(ctx); err != nil {
		return 0, err
	}
	if has, err := s.store.has(desc); err != nil || has {
		return 0, err
	}
	if err := s.mayWrite(); err != nil {
		return 0, err
	}
	if info, err := atomicfile.Machine().Stat(filepath.Join(s.store.dir, path)); err == nil && info.IsDir() {
		return 0, &DamagedError{Dir: s.store.dir, Faults: []Fault{{Digest: desc.Digest, Why: string(noFile)}}}
	}
	if err := s.store.prepare(); err != nil {
		return 0, err
	}
	final := filepath.Join(s.store.dir, path)
	if _, err := atomicfile.Machine().MkdirAll(filepath.Dir(final), dirMode); err != nil {
		return 0, err
	}
	part, err := s.store.ingest(ctx, desc)
	if err != nil || part == nil {
		return 0, err
	}
	taken, err := s.store.fill(ctx, part, desc, open)
	if err == nil {
		return taken, part.Commit(final, fileMode)
	}
	_, wrong := errors.AsType[*transfer.DigestError](err)
	if wrong || part.Size() == 0 {
		return taken, errors.Join(err, part.Discard())
	}
	return taken, errors.Join(err, part.Keep())
}

// ingest opens the file that the blob grows in; nil if the blob came to be
// there meanwhile.
func (s *Store) ingest(ctx context.Context, desc v1.Descriptor) (*atomicfile.Ingest, error) {
	path := s.ingestPath(desc.Digest)
	poll := time.NewTicker(busyPoll)
	defer poll.Stop()
	for {
		part, err := atomicfile.OpenIngest(path)
		if err != nil && !errors.Is(err, atomicfile.ErrBusy) {
			return nil, err
		}
		has, err := s.has(desc)
		if part != nil && (has || err != nil) {
			return nil, errors.Join(err, part.Discard())
		}
		if part != nil || has || err != nil {
			return part, err
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// fill makes part whole, verified. What is wrong at the end may be so since a
// part of it was: it is taken from the beginning, once. taken counts all that
// was read.
func (s *Store) fill(ctx context.Context, part *atomicfile.Ingest, desc v1.Descriptor, open transfer.Opener) (taken int64, err error) {
	if part.Size() <= desc.Size {
		taken, err = s.grow(ctx, part, desc, open)
		_, wrong := errors.AsType[*transfer.DigestError](err)
		if !wrong && !errors.Is(err, transfer.ErrOffset) {
			return taken, err
		}
	}
	if part.Size() > 0 {
		if err := part.Truncate(0); err != nil {
			return taken, err
		}
	}
	n, err := s.grow(ctx, part, desc, open)
	return taken + n, err
}

// grow adds what part lacks.
func (s *Store) grow(ctx context.Context, part *atomicfile.Ingest, desc v1.Descriptor, open transfer.Opener) (taken int64, err error) {
	offset := part.Size()
	rest := func() (io.ReadCloser, error) {
		if offset == desc.Size && offset > 0 {
			return io.NopCloser(bytes.NewReader(nil)), nil
		}
		return open(ctx, offset)
	}
	var r io.ReadCloser
	if offset == 0 {
		if r, err = rest(); err != nil {
			return 0, err
		}
		verified, err := transfer.Verify(r, desc)
		if err != nil {
			return 0, errors.Join(err, r.Close())
		}
		r = verified
	} else if r, err = transfer.VerifyRest(part.Reader(), desc, rest); err != nil {
		return 0, err
	}
	buffer := s.buffers.Get().(*[]byte) //nolint:errcheck,forcetypeassert // nothing else is put there
	defer s.buffers.Put(buffer)
	taken, err = transfer.Gather(part, r, *buffer, writeSize)
	return taken, errors.Join(err, r.Close())
}

// PutManifest takes a manifest as PutBlob does a blob.
func (s *Sink) PutManifest(ctx context.Context, desc v1.Descriptor, raw []byte) error {
	_, err := s.PutBlob(ctx, desc, func(_ context.Context, offset int64) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(raw[offset:])), nil
	})
	return err
}

// Kept reads a manifest that is here already. The error wraps
// [transfer.ErrNotFound] if it is not.
func (s *Sink) Kept(ctx context.Context, desc v1.Descriptor) ([]byte, error) {
	return s.store.Source(s.name).Manifest(ctx, desc)
}

// Commit takes the root and gives it the name. Errors beside those of PutBlob:
// [*AmbiguousError] if several images have the name already,
// [*atomicfile.LockedError].
func (s *Sink) Commit(ctx context.Context, root v1.Descriptor, raw []byte) error {
	if err := s.PutManifest(ctx, root, raw); err != nil {
		return err
	}
	name := func(index *v1.IndexManifest) error { return s.store.set(index, s.name, root) }
	if s.store.unchanged(ctx, name) {
		return nil
	}
	if err := s.mayWrite(); err != nil {
		return err
	}
	return s.store.change(ctx, name)
}

// Close lets others collect what no image needs.
func (s *Sink) Close() error { return s.leave() }
