package archive

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/vicr-cli/vicr/internal/transfer"
)

// An Image is one out of an archive: where its parts lie. It cannot be read after
// the archive was closed.
type Image struct {
	Root v1.Descriptor
	// Sparse says what of an index is here, if not all of it is; Whole are the
	// images in it that are.
	Sparse *SparseError
	Whole  []v1.Descriptor

	archive   *Archive
	manifests map[v1.Hash][]byte
	blobs     map[v1.Hash]extent
	partial   map[v1.Hash]bool // images of the index that are not all here
}

// NewImage is an image without parts.
func (a *Archive) NewImage() *Image {
	return &Image{archive: a, manifests: map[v1.Hash][]byte{}, blobs: map[v1.Hash]extent{}, partial: map[v1.Hash]bool{}}
}

// Add adds a blob and describes it.
func (i *Image) Add(t types.MediaType, data []byte) v1.Descriptor {
	return i.add(t, sum(data), inMemory(data))
}

func (i *Image) add(t types.MediaType, digest v1.Hash, e extent) v1.Descriptor {
	i.blobs[digest] = e
	return v1.Descriptor{MediaType: t, Size: e.size, Digest: digest}
}

// Seal makes the manifest of an image that had none, in the format that the oldest
// registries list: Docker's, schema 2.
func (i *Image) Seal(config v1.Descriptor, layers []v1.Descriptor) error {
	m := v1.Manifest{
		SchemaVersion: 2, MediaType: types.DockerManifestSchema2, Config: config, Layers: append([]v1.Descriptor{}, layers...),
	}
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	i.Root = v1.Descriptor{MediaType: m.MediaType, Size: int64(len(data)), Digest: sum(data)}
	i.manifests[i.Root.Digest] = data
	return nil
}

// Manifest returns a manifest or index of the image. The error is a
// [*SparseError] if it is of one in an index that is not all here.
func (i *Image) Manifest(desc v1.Descriptor) ([]byte, error) {
	raw, ok := i.manifests[desc.Digest]
	switch {
	case i.partial[desc.Digest] || !ok && i.Sparse != nil:
		return nil, i.Sparse
	case !ok:
		return nil, i.lacks(desc)
	}
	return raw, nil
}

// Blob opens a blob of the image at offset. The error wraps
// [transfer.ErrNotFound] if the archive does not have it.
func (i *Image) Blob(ctx context.Context, desc v1.Descriptor, offset int64) (io.ReadCloser, error) {
	e, ok := i.blobs[desc.Digest]
	if !ok || e.in == nil {
		return nil, i.lacks(desc)
	}
	if offset < 0 || offset > e.size {
		return nil, fmt.Errorf("%s at byte %d: %w", desc.Digest, offset, transfer.ErrOffset)
	}
	return io.NopCloser(&reader{ctx, e.from(offset)}), nil
}

func (i *Image) lacks(desc v1.Descriptor) error {
	return fmt.Errorf("%q does not have %s: %w", i.archive.name, desc.Digest, transfer.ErrNotFound)
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
