package transfer

import (
	"context"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Pin finds out what src's name stands for. The source that it returns stands
// for that from then on, and does not ask again. Errors are those of src.
func Pin(ctx context.Context, src Source) (Source, v1.Descriptor, error) {
	desc, err := src.Resolve(ctx)
	return pinned{src, desc}, desc, err
}

type pinned struct {
	Source

	desc v1.Descriptor
}

func (p pinned) Resolve(context.Context) (v1.Descriptor, error) { return p.desc, nil }

// Below is root and the manifests and indexes that it names, and those that
// these name, each once. Only indexes are asked for. Errors: those of src,
// [*DigestError], [*ManifestError].
func Below(ctx context.Context, src Source, root v1.Descriptor) ([]v1.Descriptor, error) {
	l := newDescriber(src)
	all, listed := []v1.Descriptor{root}, map[v1.Hash]bool{root.Digest: true}
	level := all
	for depth := 0; len(level) > 0; depth++ {
		var next []v1.Descriptor
		for _, d := range level {
			if !d.MediaType.IsIndex() {
				continue
			}
			n, err := l.load(ctx, d, depth)
			if err != nil {
				return nil, err
			}
			for _, child := range n.children {
				if !listed[child.Digest] {
					listed[child.Digest] = true
					next = append(next, child)
				}
			}
		}
		all, level = append(all, next...), next
	}
	return all, nil
}
