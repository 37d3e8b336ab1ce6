package transfer

import (
	"context"
	"fmt"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// maxKept is how many bytes of manifests a [Shared] keeps in memory.
const maxKept = 4 * MaxManifest

// A Shared knows what sinks into one and the same repository or store have got
// by now, so that images that share blobs and manifests move each once. Sinks
// are used one after the other; the zero Shared is ready.
type Shared struct {
	mu   sync.Mutex
	has  map[v1.Hash]bool   // blobs and manifests
	raw  map[v1.Hash][]byte // of manifests
	size int64              // of raw
}

// Over is s, but for what the repository has already. Nothing else of s changes.
func (k *Shared) Over(s Sink) Sink {
	if k == nil {
		return s
	}
	return &sharing{Sink: s, known: k}
}

func (k *Shared) holds(h v1.Hash) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.has[h]
}

func (k *Shared) add(h v1.Hash, raw []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.has == nil {
		k.has, k.raw = map[v1.Hash]bool{}, map[v1.Hash][]byte{}
	}
	k.has[h] = true
	if size := int64(len(raw)); raw != nil && k.raw[h] == nil && k.size+size <= maxKept {
		k.raw[h] = raw
		k.size += size
	}
}

type sharing struct {
	Sink

	known *Shared
}

func (s *sharing) PutBlob(ctx context.Context, desc v1.Descriptor, open Opener) (int64, error) {
	if s.known.holds(desc.Digest) {
		return 0, nil
	}
	taken, err := s.Sink.PutBlob(ctx, desc, open)
	if err == nil {
		s.known.add(desc.Digest, nil)
	}
	return taken, err
}

func (s *sharing) PutManifest(ctx context.Context, desc v1.Descriptor, raw []byte) error {
	if s.known.holds(desc.Digest) {
		return nil
	}
	err := s.Sink.PutManifest(ctx, desc, raw)
	if err == nil {
		s.known.add(desc.Digest, raw)
	}
	return err
}

func (s *sharing) Commit(ctx context.Context, root v1.Descriptor, raw []byte) error {
	err := s.Sink.Commit(ctx, root, raw)
	if err == nil {
		s.known.add(root.Digest, raw)
	}
	return err
}

// Kept makes a sharing sink a [Keeper].
func (s *sharing) Kept(ctx context.Context, desc v1.Descriptor) ([]byte, error) {
	s.known.mu.Lock()
	raw := s.known.raw[desc.Digest]
	s.known.mu.Unlock()
	if raw != nil {
		return raw, nil
	}
	if k, ok := s.Sink.(Keeper); ok {
		return k.Kept(ctx, desc)
	}
	return nil, fmt.Errorf("manifest %s: %w", desc.Digest, ErrNotFound)
}

// Holds makes a sharing sink a [Holder].
func (s *sharing) Holds(ctx context.Context, root v1.Descriptor) (bool, error) {
	h, ok := s.Sink.(Holder)
	if !ok {
		return false, nil
	}
	return h.Holds(ctx, root)
}

// Declines makes a sharing sink a [Decliner].
func (s *sharing) Declines(desc v1.Descriptor) bool {
	d, ok := s.Sink.(Decliner)
	return ok && d.Declines(desc)
}
