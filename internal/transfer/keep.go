package transfer

import (
	"context"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Keep returns a source that is src and asks it for nothing twice: neither what
// its name stands for, nor a manifest. It keeps the manifests in memory.
func Keep(src Source) Source { return &keeper{Source: src, raw: map[v1.Hash][]byte{}} }

type keeper struct {
	Source

	mu       sync.Mutex
	resolved v1.Descriptor
	raw      map[v1.Hash][]byte
}

func (k *keeper) Resolve(ctx context.Context) (v1.Descriptor, error) {
	k.mu.Lock()
	desc := k.resolved
	k.mu.Unlock()
	if desc.Digest != (v1.Hash{}) {
		return desc, nil
	}
	desc, err := k.Source.Resolve(ctx)
	if err != nil {
		return desc, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.resolved = desc
	return desc, nil
}

func (k *keeper) Manifest(ctx context.Context, desc v1.Descriptor) ([]byte, error) {
	k.mu.Lock()
	raw, ok := k.raw[desc.Digest]
	k.mu.Unlock()
	if ok {
		return raw, nil
	}
	raw, err := k.Source.Manifest(ctx, desc)
	if err != nil || verifyManifest(desc, raw) != nil { // whoever asks says what is wrong
		return raw, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.raw[desc.Digest] = raw
	return raw, nil
}
