package transfer

import (
	"context"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Other is the platform that the image which [Copy] takes for want is made for
// by its own config, if that does not run where want is asked for: an image that
// is in no index is taken whatever it is for. Nil: it does, or nothing is said
// of it. What is read is not asked for twice of a source that is [Keep]'s.
// Errors are those of [Describe].
func Other(ctx context.Context, src Source, want v1.Platform) (*v1.Platform, error) {
	root, err := src.Resolve(ctx)
	if err != nil {
		return nil, err
	}
	l := newDescriber(src)
	picked, err := l.pick(ctx, root, want)
	if err != nil || picked.Platform != nil { // the index says what it is for
		return nil, err
	}
	return l.other(ctx, picked, want)
}

// other is [Other] of an image that no index says anything of.
func (l *loader) other(ctx context.Context, desc v1.Descriptor, want v1.Platform) (*v1.Platform, error) {
	image, err := l.image(ctx, desc)
	if err != nil {
		return nil, err
	}
	have := image.Platform
	if have.OS == "" || have.Architecture == "" || unknown(have) || rank(want, have) >= 0 {
		return nil, nil //nolint:nilnil // it is not another one
	}
	return &have, nil
}

// tellOther says before anything is moved that root is for another platform. It
// asks the source for nothing that is not moved anyway, and for nothing that the
// sink has.
func (c *copier) tellOther(ctx context.Context, l *loader, root v1.Descriptor) {
	if c.o.OnOther == nil || c.o.Platform == nil || root.Platform != nil {
		return
	}
	l.blob = func(ctx context.Context, desc v1.Descriptor) ([]byte, error) {
		if l.kept != nil {
			if raw, err := l.kept.Kept(ctx, desc); err == nil && verifyManifest(desc, raw) == nil {
				return raw, nil
			}
		}
		return c.read(ctx, desc)
	}
	// What fails here fails once more when it is moved, and is told then.
	if have, err := l.other(ctx, root, *c.o.Platform); err == nil && have != nil {
		c.o.OnOther(*have)
	}
}
