package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/client"

	"github.com/vicr-cli/vicr/internal/transfer"
)

// Has says whether the engine has an image of this name.
func (e *Engine) Has(ctx context.Context, img string) (bool, error) {
	_, err := e.imageID(ctx, img)
	if errors.Is(err, transfer.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Find is nil if the engine has an image of this name. The error wraps
// [transfer.ErrNotFound] if it has none.
func (e *Engine) Find(ctx context.Context, img string) error {
	now, err := e.inspected(ctx, img)
	if err == nil && now == nil {
		return fmt.Errorf("%s in the engine: %w", img, transfer.ErrNotFound)
	}
	e.found.put(img, now)
	return err
}

// found is what the engine said last of an image that was looked for: an engine
// that keeps manifests takes its time to say it, and who moves the image wants it
// next.
type found struct {
	mu   sync.Mutex
	name string
	img  *image.InspectResponse
}

func (f *found) put(name string, img *image.InspectResponse) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.name, f.img = name, img
}

// take gives it out, once; nil: it was another image.
func (f *found) take(name string) *image.InspectResponse {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.name != name {
		return nil
	}
	img := f.img
	f.img = nil
	return img
}

// inspected is what the engine says of an image, and of what it has of each manifest in
// it where it tells; nil if it has none of this name.
func (e *Engine) inspected(ctx context.Context, img string) (*image.InspectResponse, error) {
	if e.saysWhatIsThere() {
		return e.look(ctx, img, client.ImageInspectWithManifests(true))
	}
	return e.look(ctx, img)
}

// imageID is what the engine calls the image img: the digest of its config, or
// of its manifest or index where the engine keeps those. The error wraps
// [transfer.ErrNotFound] if it has none.
func (e *Engine) imageID(ctx context.Context, img string) (string, error) {
	ctx, stop := e.guard(ctx)
	defer stop()
	res, err := e.api.ImageInspect(ctx, img)
	if err != nil {
		return "", e.failure(ctx, img+" in the engine", err)
	}
	return res.ID, nil
}

// Tag gives the image src the names dst. The error wraps
// [transfer.ErrNotFound] if there is no src; then no name was given.
func (e *Engine) Tag(ctx context.Context, src string, dst ...string) error {
	ctx, stop := e.guard(ctx)
	defer stop()
	for _, name := range dst {
		if _, err := e.api.ImageTag(ctx, client.ImageTagOptions{Source: src, Target: name}); err != nil {
			what := name
			if errdefs.IsNotFound(err) {
				what = src + " in the engine"
			}
			return e.failure(ctx, what, err)
		}
	}
	return nil
}

// remove takes a name away from an image, and the image if that was its last.
func (e *Engine) remove(ctx context.Context, name string) error {
	ctx, stop := e.guard(ctx)
	defer stop()
	_, err := e.api.ImageRemove(ctx, name, client.ImageRemoveOptions{PruneChildren: true})
	if errdefs.IsNotFound(err) {
		return nil
	}
	return e.failure(ctx, name, err)
}

// taggedName is img with a tag and without its digest; "" when img has a digest
// alone, under which no engine can be told to keep an image.
func taggedName(img string) (string, error) {
	named, err := reference.ParseNormalizedNamed(img)
	if err != nil {
		return "", fmt.Errorf("image %q: %w", img, err)
	}
	if tagged, ok := named.(reference.Tagged); ok {
		return named.Name() + ":" + tagged.Tag(), nil
	}
	if _, ok := named.(reference.Digested); ok {
		return "", nil
	}
	return named.Name() + ":latest", nil
}
