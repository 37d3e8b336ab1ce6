package registry

import (
	"context"
	"encoding/json"
	"errors"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/memo"
	"github.com/vicr-cli/vicr/internal/transfer"
)

var _ transfer.Holder = (*Repository)(nil)

// begunFact stands in place of a digest beside the name of a repository that a
// push was begun to.
const begunFact = "begun"

// Remembering has r ask whether the registry has all of an image before it
// sends one that p says was pushed under this name before, remember what it
// pushes, and ask less about the blobs of a repository that p has never heard of.
// It returns r, and is called before r is used.
func (r *Repository) Remembering(p *memo.Pushes) *Repository {
	r.pushes = p
	return r
}

// Holds says whether the name stands for root in the registry, which then has
// all that root names. That takes a HEAD, which a first push has no use for: it
// is asked only about what [Repository.Remembering] knows of. Errors are those of
// the round-tripper.
func (r *Repository) Holds(ctx context.Context, root v1.Descriptor) (bool, error) {
	if r.pushes != nil && !r.pushes.Has(r.img.Name(), begunFact) {
		r.found(telling) // nothing large was ever sent from here that could be sent twice
		_ = r.pushes.Add(r.img.Name(), begunFact)
	}
	if !r.pushes.Has(r.img.String(), root.Digest.String()) {
		return false, nil
	}
	return r.hasManifest(ctx, r.nameFor(root), root)
}

// Tag gives what the image's name stands for more tags in this repository, with
// one request to get the manifest and one for each tag; no blob is moved. In
// between begin is told what gets the tags; it may be nil. Errors are those of
// [Repository.Resolve] and [Repository.Commit], and a [*transfer.ManifestError] for
// what is no manifest at all.
func (r *Repository) Tag(ctx context.Context, begin func(v1.Descriptor), tags ...string) (v1.Descriptor, error) {
	desc, err := r.Resolve(ctx)
	if err != nil {
		return desc, err
	}
	raw, err := r.Manifest(ctx, desc)
	if err != nil {
		return desc, err
	}
	if !json.Valid(raw) { // some other page, which the same server may take with 200 too
		return desc, &transfer.ManifestError{Digest: desc.Digest, Why: "is no JSON"}
	}
	if begin != nil {
		begin(desc)
	}
	for _, tag := range tags {
		if err := r.put(ctx, tag, desc, raw); err != nil {
			if e, ok := errors.AsType[*Error](err); ok { // it is about the new name
				e.Op, e.Image, e.Source = OpTag, r.img.Name()+":"+tag, r.img.String()
			}
			return desc, err
		}
	}
	return desc, nil
}
