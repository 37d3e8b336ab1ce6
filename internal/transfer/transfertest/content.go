// Package transfertest is for tests only: content to move, a source in memory
// that can be made to fail, a sink in memory that watches the order in which it
// is fed, and [TestSink], the suite that every sink has to pass.
package transfertest

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"testing/iotest"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/vicr-cli/vicr/internal/transfer"
)

// Content is a set of blobs and manifests, each under its digest.
type Content map[v1.Hash][]byte

// DescriptorOf is the descriptor of data, hashed with algorithm ("sha256", "sha512").
func DescriptorOf(algorithm string, mediaType types.MediaType, data []byte) v1.Descriptor {
	h, err := v1.Hasher(algorithm)
	if err != nil {
		panic(err)
	}
	h.Write(data)
	return v1.Descriptor{
		MediaType: mediaType, Size: int64(len(data)),
		Digest: v1.Hash{Algorithm: algorithm, Hex: hex.EncodeToString(h.Sum(nil))},
	}
}

// Add puts data in and describes it.
func (c Content) Add(mediaType types.MediaType, data []byte) v1.Descriptor {
	return c.AddAs("sha256", mediaType, data)
}

// AddAs is Add with another digest algorithm.
func (c Content) AddAs(algorithm string, mediaType types.MediaType, data []byte) v1.Descriptor {
	d := DescriptorOf(algorithm, mediaType, data)
	c[d.Digest] = data
	return d
}

// AddJSON puts in a document.
func (c Content) AddJSON(mediaType types.MediaType, document any) v1.Descriptor {
	raw, err := json.Marshal(document)
	if err != nil {
		panic(err)
	}
	return c.Add(mediaType, raw)
}

// Config puts in the config of an image.
func (c Content) Config(p v1.Platform) v1.Descriptor {
	return c.AddJSON(types.OCIConfigJSON, map[string]any{"architecture": p.Architecture, "os": p.OS, "rootfs": map[string]any{"type": "layers", "diff_ids": []string{}}})
}

// Image puts in an image for a platform and describes it as an index would.
func (c Content) Image(p v1.Platform, layers ...v1.Descriptor) v1.Descriptor {
	d := c.AddJSON(types.OCIManifestSchema1, v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: c.Config(p), Layers: layers,
	})
	d.Platform = &p
	return d
}

// Layer puts in a layer.
func (c Content) Layer(data []byte) v1.Descriptor { return c.Add(types.OCILayer, data) }

// Index puts in an index.
func (c Content) Index(children ...v1.Descriptor) v1.Descriptor {
	if children == nil {
		children = []v1.Descriptor{}
	}
	return c.AddJSON(types.OCIImageIndex, v1.IndexManifest{
		SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: children,
	})
}

// Bytes makes n bytes that look like nothing else with another seed.
func Bytes(seed byte, n int) []byte {
	data := make([]byte, n)
	x := uint32(seed)*2654435761 + 1
	for i := range data {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		data[i] = byte(x & 0xff)
	}
	return data
}

// Amd64 and Arm64 are platforms to build for.
func Amd64() v1.Platform { return v1.Platform{OS: "linux", Architecture: "amd64"} }

// Arm64 is the other one.
func Arm64() v1.Platform { return v1.Platform{OS: "linux", Architecture: "arm64"} }

// A Source gives out what lies below Root.
type Source struct {
	Root    v1.Descriptor
	Content Content
	// Fault may put something else in place of a blob's bytes from offset on; nil: nothing.
	Fault func(desc v1.Descriptor, offset int64, rest io.Reader) (io.Reader, error)

	mu        sync.Mutex
	opened    []Opening
	manifests []v1.Hash
	open      int
}

// An Opening is a call of Blob.
type Opening struct {
	Digest v1.Hash
	Offset int64
}

// Resolve returns Root without what an index says of it.
func (s *Source) Resolve(ctx context.Context) (v1.Descriptor, error) {
	if s.Root.Digest == (v1.Hash{}) {
		return v1.Descriptor{}, fmt.Errorf("this source: %w", transfer.ErrNotFound)
	}
	return v1.Descriptor{MediaType: s.Root.MediaType, Size: s.Root.Size, Digest: s.Root.Digest}, ctx.Err()
}

// Manifest returns the bytes of a manifest.
func (s *Source) Manifest(ctx context.Context, desc v1.Descriptor) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.manifests = append(s.manifests, desc.Digest)
	raw, ok := s.Content[desc.Digest]
	if !ok {
		return nil, transfer.ErrNotFound
	}
	return raw, ctx.Err()
}

// Blob opens a blob.
func (s *Source) Blob(ctx context.Context, desc v1.Descriptor, offset int64) (io.ReadCloser, error) {
	s.mu.Lock()
	s.opened = append(s.opened, Opening{desc.Digest, offset})
	data, ok := s.Content[desc.Digest]
	s.mu.Unlock()
	if !ok {
		return nil, transfer.ErrNotFound
	}
	var r io.Reader = bytes.NewReader(data[offset:])
	if s.Fault != nil {
		var err error
		if r, err = s.Fault(desc, offset, r); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	s.open++
	s.mu.Unlock()
	return &reader{ctx: ctx, r: r, source: s}, nil
}

// Opened lists the calls of Blob so far.
func (s *Source) Opened() []Opening {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Opening(nil), s.opened...)
}

// Manifests lists the calls of Manifest so far.
func (s *Source) Manifests() []v1.Hash {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]v1.Hash(nil), s.manifests...)
}

// LeftOpen is how many readers were not closed.
func (s *Source) LeftOpen() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open
}

type reader struct {
	ctx    context.Context // a reader lives as long as the call that opened it
	r      io.Reader
	source *Source
	once   sync.Once
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

func (r *reader) Close() error {
	r.once.Do(func() {
		r.source.mu.Lock()
		defer r.source.mu.Unlock()
		r.source.open--
	})
	return nil
}

// Flip changes one bit of the byte at offset at of r.
func Flip(r io.Reader, at int64) io.Reader { return &flipper{r: r, at: at} }

type flipper struct {
	r       io.Reader
	at, pos int64
}

func (f *flipper) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if i := f.at - f.pos; i >= 0 && i < int64(n) {
		p[i] ^= 1
	}
	f.pos += int64(n)
	return n, err
}

// Cut gives the first n bytes of r and then fails with err.
func Cut(r io.Reader, n int64, err error) io.Reader {
	return io.MultiReader(io.LimitReader(r, n), iotest.ErrReader(err))
}
