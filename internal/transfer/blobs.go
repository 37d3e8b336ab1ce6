package transfer

import (
	"context"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Blobs are those that [Copy] of src, or of the image for a platform, would
// move. No blob is read. Errors are those of Copy.
func Blobs(ctx context.Context, src Source, p *v1.Platform) ([]v1.Descriptor, error) {
	root, err := src.Resolve(ctx)
	if err != nil {
		return nil, err
	}
	l := newDescriber(src)
	if p != nil {
		if root, err = l.pick(ctx, root, *p); err != nil {
			return nil, err
		}
	}
	t, err := l.walk(ctx, root)
	return t.blobs, err
}
