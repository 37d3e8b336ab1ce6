package engine

import (
	"context"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/archive"
	"github.com/vicr-cli/vicr/internal/transfer"
)

// imageIn is the image in an archive that the engine gave out. An engine that keeps
// images as they came may name some for platforms that it does not hold; then the
// one for its own platform is given out.
func (e *Engine) imageIn(ctx context.Context, a *archive.Archive, image string) (*archive.Image, error) {
	name, err := taggedName(image)
	if err != nil || name == "" {
		name = image
	}
	i, err := a.Image(ctx, name, false)
	if err != nil {
		return nil, saveError(image, err)
	}
	root := i.Root
	if i.Sparse != nil {
		own, err := e.Platform(ctx)
		if err != nil {
			return nil, err
		}
		if root, err = choose(i.Whole, own); err != nil {
			return nil, err
		}
	}
	i.Root = v1.Descriptor{MediaType: root.MediaType, Size: root.Size, Digest: root.Digest}
	return i, nil
}

// choose returns the image for the engine's own platform, or the only one.
func choose(images []v1.Descriptor, own v1.Platform) (v1.Descriptor, error) {
	var runnable []v1.Descriptor
	var have []v1.Platform
	for _, d := range images {
		// BuildKit calls the platform of its attestations unknown.
		if d.Platform == nil || d.Platform.OS == "unknown" {
			continue
		}
		if samePlatform(*d.Platform, own) {
			return d, nil
		}
		runnable = append(runnable, d)
		have = append(have, *d.Platform)
	}
	if len(runnable) == 1 {
		return runnable[0], nil
	}
	return v1.Descriptor{}, &transfer.PlatformError{Want: own, Have: have}
}

// samePlatform compares what images are built for. Engines do not say the
// variant of their processor.
func samePlatform(a, own v1.Platform) bool {
	return a.OS == own.OS && a.Architecture == own.Architecture && (own.Variant == "" || a.Variant == own.Variant)
}
