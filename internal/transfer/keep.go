package transfer

import (
	"bytes"
	"context"
	"io"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Keep returns a source that is src and asks it for nothing twice: neither what
// its name stands for, nor a manifest, nor a config that [Other] read. It keeps
// them in memory.
func Keep(src Source) Source { return &keeper{Source: src, raw: map[v1.Hash][]byte{}} }

type keeper struct {
	Source

	mu       sync.Mutex
	resolved v1.Descriptor
	raw      map[v1.Hash][]byte
	config   []byte // nil: none was read
	of       v1.Hash
}

// keep keeps a verified config.
func (k *keeper) keep(h v1.Hash, config []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.config, k.of = config, h
}

func (k *keeper) Blob(ctx context.Context, desc v1.Descriptor, offset int64) (io.ReadCloser, error) {
	k.mu.Lock()
	config, of := k.config, k.of
	k.mu.Unlock()
	if of != desc.Digest || offset < 0 || offset > int64(len(config)) {
		return k.Source.Blob(ctx, desc, offset)
	}
	return io.NopCloser(bytes.NewReader(config[offset:])), nil
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
