package archive

import (
	"context"
	"fmt"
	"io"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/transfer"
)

// A Source gives out one image of an archive. It cannot be read after the
// archive was closed.
type Source struct {
	archive *Archive
	name    string
	exact   bool
	// OnSparse is told, once, of an index of which only some images are here; may
	// be nil. Whoever moves one of those that are goes on.
	OnSparse func(have, missing []v1.Platform)

	mu    sync.Mutex
	image *image // nil before Resolve
}

var _ transfer.Source = (*Source)(nil)

// Source returns the image of that name, a full one. The only image of an
// archive is that image whatever it is called. Nothing is read yet.
func (a *Archive) Source(name string) *Source { return &Source{archive: a, name: name} }

// Named returns the image that the archive calls so: by its name, full or short,
// by a tag, or as @DIGEST. Nothing is read yet.
func (a *Archive) Named(name string) *Source { return &Source{archive: a, name: name, exact: true} }

// Resolve reads what the name stands for. An image of a layout is what it was
// wherever it came from; for one in Docker's own format the manifest is made, and
// its layers are compressed, the same each time. Errors: [*NameError],
// [*AmbiguousError], [*Error], [*transfer.DigestError] for a layer that is not
// what the config says, those of the file system.
func (s *Source) Resolve(ctx context.Context) (v1.Descriptor, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.image == nil {
		i, err := s.archive.image(ctx, s.name, s.exact)
		if err != nil {
			return v1.Descriptor{}, err
		}
		s.image = i
		if i.sparse != nil && s.OnSparse != nil {
			s.OnSparse(i.sparse.Have, i.sparse.Missing)
		}
	}
	return s.image.root, nil
}

// Find says whether the archive has the image, and reads nothing of it. Errors are
// [*NameError] and [*AmbiguousError], and those of an archive that cannot be read.
func (s *Source) Find() error {
	s.archive.mu.Lock()
	defer s.archive.mu.Unlock()
	_, err := s.archive.find(s.name, s.exact)
	return err
}

// image finds an image and looks what there is of it.
func (a *Archive) image(ctx context.Context, name string, exact bool) (*image, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	l, err := a.find(name, exact)
	if err != nil {
		return nil, err
	}
	if i, ok := a.made[l.id]; ok {
		return i, nil
	}
	var i *image
	if l.item == nil {
		i, err = a.fromLayout(ctx, l.desc)
	} else {
		i, err = a.fromDocker(ctx, l.item)
	}
	if err == nil {
		a.made[l.id] = i
	}
	return i, err
}

// Manifest returns a manifest or index. The error is a [*SparseError] if it is of
// an image that is not all here.
func (s *Source) Manifest(_ context.Context, desc v1.Descriptor) ([]byte, error) {
	i, err := s.resolved()
	if err != nil {
		return nil, err
	}
	if i.manifests != nil {
		raw, ok := i.manifests[desc.Digest]
		if !ok {
			return nil, s.lacks(desc)
		}
		return raw, nil
	}
	e, ok := s.archive.files.blob(desc.Digest)
	if i.partial[desc.Digest] || !ok && i.sparse != nil {
		return nil, i.sparse
	}
	if !ok {
		return nil, s.lacks(desc)
	}
	raw, err := s.archive.small(e)
	if err == nil && raw == nil {
		err = s.archive.unsafe("its manifests are too large")
	}
	return raw, err
}

// Blob opens a blob at offset. The error wraps [transfer.ErrNotFound] if the
// archive does not have it.
func (s *Source) Blob(ctx context.Context, desc v1.Descriptor, offset int64) (io.ReadCloser, error) {
	i, err := s.resolved()
	if err != nil {
		return nil, err
	}
	e, ok := i.blobs[desc.Digest]
	if i.blobs == nil {
		e, ok = s.archive.files.blob(desc.Digest)
	}
	if !ok {
		return nil, s.lacks(desc)
	}
	if offset < 0 || offset > e.size {
		return nil, fmt.Errorf("%s at byte %d: %w", desc.Digest, offset, transfer.ErrOffset)
	}
	return io.NopCloser(&reader{ctx, e.from(offset)}), nil
}

func (s *Source) resolved() (*image, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.image == nil {
		return nil, s.archive.bad("it was not looked at")
	}
	return s.image, nil
}

func (s *Source) lacks(desc v1.Descriptor) error {
	return fmt.Errorf("%q does not have %s: %w", s.archive.name, desc.Digest, transfer.ErrNotFound)
}

// A reader ends when the context ends.
type reader struct {
	ctx context.Context // that of the transfer it is part of
	r   io.Reader
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
