package archive

import (
	"context"
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
	image *Image // nil before Resolve
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
		i, err := s.archive.Image(ctx, s.name, s.exact)
		if err != nil {
			return v1.Descriptor{}, err
		}
		s.image = i
		if i.Sparse != nil && s.OnSparse != nil {
			s.OnSparse(i.Sparse.Have, i.Sparse.Missing)
		}
	}
	return s.image.Root, nil
}

// Find says whether the archive has the image, and reads nothing of it. Errors are
// [*NameError] and [*AmbiguousError], and those of an archive that cannot be read.
func (s *Source) Find() error {
	s.archive.mu.Lock()
	defer s.archive.mu.Unlock()
	_, err := s.archive.find(s.name, s.exact)
	return err
}

// Image finds an image by its name, an exact one or, if it is the only one,
// whatever it is called, and looks what there is of it. Errors are those of
// [Source.Resolve].
func (a *Archive) Image(ctx context.Context, name string, exact bool) (*Image, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	l, err := a.find(name, exact)
	if err != nil {
		return nil, err
	}
	if i, ok := a.made[l.id]; ok {
		return i, nil
	}
	var i *Image
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

// Manifest returns a manifest or index, as [Image.Manifest] says.
func (s *Source) Manifest(_ context.Context, desc v1.Descriptor) ([]byte, error) {
	i, err := s.resolved()
	if err != nil {
		return nil, err
	}
	return i.Manifest(desc)
}

// Blob opens a blob at offset, as [Image.Blob] says.
func (s *Source) Blob(ctx context.Context, desc v1.Descriptor, offset int64) (io.ReadCloser, error) {
	i, err := s.resolved()
	if err != nil {
		return nil, err
	}
	return i.Blob(ctx, desc, offset)
}

func (s *Source) resolved() (*Image, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.image == nil {
		return nil, s.archive.bad("it was not looked at")
	}
	return s.image, nil
}
