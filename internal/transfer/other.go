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
	image, err := l.image(ctx, picked)
	if err != nil {
		return nil, err
	}
	have := image.Platform
	if have.OS == "" || have.Architecture == "" || unknown(have) || rank(want, have) >= 0 {
		return nil, nil //nolint:nilnil // it is not another one
	}
	return &have, nil
}
