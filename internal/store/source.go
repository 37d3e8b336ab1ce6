package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/transfer"
)

// A Source gives out an image of the store.
type Source struct {
	store *Store
	name  string
}

var _ transfer.Source = (*Source)(nil)

// Source returns the image of that name. Nothing is read yet.
func (s *Store) Source(name string) *Source { return &Source{s, name} }

// Resolve reads what the name stands for. Errors: [*NameError],
// [*AmbiguousError], [*LayoutError], [*UnsafeError], those of the file system.
func (s *Source) Resolve(ctx context.Context) (v1.Descriptor, error) {
	index, err := s.store.readIndex(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return v1.Descriptor{}, &NameError{Dir: s.store.dir, Name: s.name}
	}
	if err != nil {
		return v1.Descriptor{}, err
	}
	desc, err := s.store.find(index, s.name)
	return plain(desc), err
}

// Manifest reads a manifest or index, at most [transfer.MaxManifest] bytes.
func (s *Source) Manifest(ctx context.Context, desc v1.Descriptor) ([]byte, error) {
	rc, err := s.Blob(ctx, desc, 0)
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(rc, transfer.MaxManifest+1)) // one more: Copy sees that it is too long
	return raw, errors.Join(err, rc.Close())
}

// Blob opens a blob at offset. The error wraps [transfer.ErrNotFound] if the
// store does not have it.
func (s *Source) Blob(ctx context.Context, desc v1.Descriptor, offset int64) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := s.store.check(); err != nil {
		return nil, err
	}
	path, err := s.store.path(desc.Digest)
	if err != nil {
		return nil, err
	}
	f, err := s.store.open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%q does not have it: %w", s.store.dir, transfer.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &blob{ctx: ctx, file: f}, nil
}

// A blob ends when the context ends.
type blob struct {
	ctx  context.Context // that of the transfer it is part of
	file *os.File
}

func (b *blob) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	return b.file.Read(p)
}

func (b *blob) Close() error { return b.file.Close() }
