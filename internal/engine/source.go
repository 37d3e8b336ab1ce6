package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/transfer"
)

// A Source gives out one image of the engine. Engines give out an image only
// whole and only from front to back. A sink that takes it so gets it in one pass
// ([Source.Pour]); for others all of it waits in a scratch file from the first
// call of Resolve to Close.
type Source struct {
	engine *Engine
	image  string

	mu    sync.Mutex
	saved *saved // nil before Resolve and after Close
}

// Source opens img, a full image name, for reading. Close it.
func (e *Engine) Source(img string) *Source { return &Source{engine: e, image: img} }

// Resolve reads the image out of the engine. It is a manifest in docker's own
// format with layers compressed here, or what the engine keeps as it came. The
// error wraps [transfer.ErrNotFound], or is a [*SaveError], a
// [*transfer.DigestError] or an [*UnavailableError].
func (s *Source) Resolve(ctx context.Context) (v1.Descriptor, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.saved == nil {
		saved, err := s.engine.save(ctx, s.image)
		if err != nil {
			return v1.Descriptor{}, err
		}
		s.saved = saved
	}
	return s.saved.root, nil
}

// Manifest returns a manifest or index of the image.
func (s *Source) Manifest(_ context.Context, desc v1.Descriptor) ([]byte, error) {
	saved, err := s.current()
	if err != nil {
		return nil, err
	}
	raw, ok := saved.manifests[desc.Digest]
	if !ok {
		return nil, s.lacks(desc)
	}
	return raw, nil
}

// Blob opens a blob of the image. It cannot be read after Close.
func (s *Source) Blob(_ context.Context, desc v1.Descriptor, offset int64) (io.ReadCloser, error) {
	saved, err := s.current()
	if err != nil {
		return nil, err
	}
	e, ok := saved.blobs[desc.Digest]
	if !ok {
		return nil, s.lacks(desc)
	}
	if offset < 0 || offset > e.size {
		return nil, fmt.Errorf("%s at byte %d: %w", desc.Digest, offset, transfer.ErrOffset)
	}
	return io.NopCloser(saved.archive.open(e, offset)), nil
}

func (s *Source) current() (*saved, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.saved == nil {
		return nil, errors.New("the image was not read, or is closed")
	}
	return s.saved, nil
}

func (s *Source) lacks(desc v1.Descriptor) error {
	return fmt.Errorf("%s of %s in the engine: %w", desc.Digest, s.image, transfer.ErrNotFound)
}

// Close frees the disk.
func (s *Source) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.saved == nil {
		return nil
	}
	err := s.saved.archive.Close()
	s.saved = nil
	return err
}

// save reads one image into a spool.
func (e *Engine) save(ctx context.Context, image string) (_ *saved, err error) {
	if _, err := e.imageID(ctx, image); err != nil {
		return nil, err
	}
	asKept, err := e.keepsManifests(ctx)
	if err != nil {
		return nil, err
	}
	sp, err := newSpool(e.o.Scratch)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, sp.Close())
		}
	}()
	if err := e.spool(ctx, image, sp, !asKept); err != nil {
		return nil, err
	}
	sv := &saved{archive: sp, manifests: map[v1.Hash][]byte{}, blobs: map[v1.Hash]entry{}}
	if asKept && sp.known(indexFile) {
		var platform v1.Platform
		if platform, err = e.Platform(ctx); err == nil {
			err = sv.readLayout(image, platform)
		}
	} else {
		err = sv.readDocker(image, sp)
	}
	return sv, saveError(image, err)
}

// saveError tells whose archive it is that something is wrong with.
func saveError(image string, err error) error {
	if bad, ok := errors.AsType[*archiveError](err); ok {
		return &SaveError{Image: image, Why: bad.why}
	}
	return err
}

// spool reads the engine's save stream to its end.
func (e *Engine) spool(ctx context.Context, image string, sp *spool, compress bool) error {
	return e.saving(ctx, image, func(ctx context.Context, r io.Reader) error { return sp.fill(ctx, r, compress) })
}

// saving has read take the engine's save stream.
func (e *Engine) saving(ctx context.Context, image string, read func(context.Context, io.Reader) error) error {
	ctx, stop := e.guard(ctx)
	defer stop()
	res, err := e.api.ImageSave(ctx, []string{image})
	if err != nil {
		return e.failure(ctx, image+" in the engine", err)
	}
	defer res.Close() //nolint:errcheck // only read
	stream := &tail{r: res}
	err = read(ctx, stream)
	var bad *archiveError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &bad):
		return &SaveError{Image: image, Why: bad.why}
	case stream.broken(err):
		why := stream.words()
		if why == "" {
			why = "the archive breaks off or is none"
		}
		return &SaveError{Image: image, Why: why, Err: err}
	}
	return err
}
