package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/archive"
)

// A Source gives out one image of the engine. Engines give out an image only
// whole and only from front to back. A sink that takes it so gets it in one pass
// ([Source.Pour]); for others all of it waits in a scratch file from the first
// call of Resolve to Close.
type Source struct {
	engine *Engine
	image  string

	mu      sync.Mutex
	archive *archive.Archive // what the engine gave out; nil before Resolve and after Close
	saved   *archive.Image   // that is in it
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
		a, saved, err := s.engine.save(ctx, s.image)
		if err != nil {
			return v1.Descriptor{}, err
		}
		s.archive, s.saved = a, saved
	}
	return s.saved.Root, nil
}

// Manifest returns a manifest or index of the image.
func (s *Source) Manifest(_ context.Context, desc v1.Descriptor) ([]byte, error) {
	saved, err := s.current()
	if err != nil {
		return nil, err
	}
	return saved.Manifest(desc)
}

// Blob opens a blob of the image. It cannot be read after Close.
func (s *Source) Blob(ctx context.Context, desc v1.Descriptor, offset int64) (io.ReadCloser, error) {
	saved, err := s.current()
	if err != nil {
		return nil, err
	}
	return saved.Blob(ctx, desc, offset)
}

func (s *Source) current() (*archive.Image, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.saved == nil {
		return nil, errors.New("the image was not read, or is closed")
	}
	return s.saved, nil
}

// Close frees the disk.
func (s *Source) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.saved == nil {
		return nil
	}
	err := s.archive.Close()
	s.archive, s.saved = nil, nil
	return err
}

// save reads one image into a scratch file.
func (e *Engine) save(ctx context.Context, image string) (a *archive.Archive, i *archive.Image, err error) {
	if _, err := e.imageID(ctx, image); err != nil {
		return nil, nil, err
	}
	asKept, err := e.keepsManifests(ctx)
	if err != nil {
		return nil, nil, err
	}
	o := archive.Options{Format: archive.Docker, Scratch: e.o.Scratch, Unpacked: !asKept}
	err = e.saving(ctx, image, func(ctx context.Context, r io.Reader) (err error) {
		a, err = archive.Read(ctx, r, inEngine(image), o)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	if i, err = e.imageIn(ctx, a, image); err != nil {
		return nil, nil, errors.Join(err, a.Close())
	}
	return a, i, nil
}

// inEngine is what the archive of an image is called.
func inEngine(image string) string { return image + " in the engine" }

// saveError tells whose archive it is that something is wrong with.
func saveError(image string, err error) error {
	if bad, ok := errors.AsType[*archive.Error](err); ok {
		return &SaveError{Image: image, Why: "its archive cannot be used: " + bad.Why, Err: bad.Err}
	}
	_, none := errors.AsType[*archive.NameError](err)
	several, ok := errors.AsType[*archive.AmbiguousError](err)
	switch {
	case none:
		return &SaveError{Image: image, Why: "its archive holds no image"}
	case ok:
		return &SaveError{Image: image, Why: fmt.Sprintf("its archive holds %d images, and none of this name", len(several.Names))}
	}
	return err
}

// saving has read take the engine's save stream.
func (e *Engine) saving(ctx context.Context, image string, read func(context.Context, io.Reader) error) error {
	ctx, stop := e.guard(ctx)
	defer stop()
	res, err := e.api.ImageSave(ctx, []string{image})
	if err != nil {
		return e.failure(ctx, inEngine(image), err)
	}
	defer res.Close() //nolint:errcheck // only read
	stream := &tail{r: res}
	err = read(ctx, stream)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case stream.broken(err):
		if words := stream.words(); words != "" {
			return &SaveError{Image: image, Why: words, Err: err}
		}
		if errors.Is(err, stream.err) {
			return &SaveError{Image: image, Why: "its archive breaks off in the middle", Err: err}
		}
	}
	return saveError(image, err)
}
