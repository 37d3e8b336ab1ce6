package engine

import (
	"context"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/moby/moby/api/types/image"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/transfer"
)

// keeps says whether an image is in an engine that keeps manifests (the containerd
// store): there its ID is the digest of its manifest, or index, and every name that
// it has goes with that digest, whatever a registry may have under it.
func keeps(i *image.InspectResponse) bool {
	if i.Descriptor != nil {
		return i.Descriptor.Digest.String() == i.ID
	}
	return slices.ContainsFunc(i.RepoDigests, func(text string) bool { return strings.HasSuffix(text, "@"+i.ID) })
}

// sends is what an engine that keeps manifests sends of an image when it pushes it:
// an index if it has all of it, else the only image in it that it has (moby
// daemon/containerd/image_push.go, getPushDescriptor). It is zero where that is the
// engine's to say, or it does not tell.
func sends(i *image.InspectResponse) v1.Descriptor {
	if i.Descriptor == nil || !keeps(i) {
		return v1.Descriptor{}
	}
	root := plainDescriptor(*i.Descriptor)
	if root.MediaType.IsImage() {
		return root
	}
	var there []v1.Descriptor
	all := root.MediaType.IsIndex() && len(i.Manifests) > 0
	for _, m := range i.Manifests {
		switch {
		case !m.Available:
			all = false
		case m.Kind != image.ManifestKindAttestation:
			there = append(there, plainDescriptor(m.Descriptor))
		}
	}
	switch {
	case all:
		return root
	case len(there) == 1:
		return there[0]
	}
	return v1.Descriptor{}
}

// plainDescriptor is d without what an index says of it; zero if it is none.
func plainDescriptor(d ocispec.Descriptor) v1.Descriptor {
	digest, err := v1.NewHash(d.Digest.String())
	if err != nil {
		return v1.Descriptor{}
	}
	return v1.Descriptor{MediaType: types.MediaType(d.MediaType), Size: d.Size, Digest: digest}
}

// keptAs gets what the engine would send out of the registry that is pushed to,
// where that may have it; nil if it has not.
func (p *pushing) keptAs(ctx context.Context) *known {
	root := sends(p.now)
	if p.o.Open == nil || root.Digest == (v1.Hash{}) {
		return nil
	}
	repos := p.keptIn(root.Digest)
	for _, repo := range repos[:min(len(repos), maxKnown)] {
		src := p.o.Open(ref.Image{Host: p.img.Host, Repository: repo, Digest: root.Digest.String()})
		if k := wholeIn(ctx, src, root); k != nil {
			k.from = repo
			return k
		}
	}
	return nil
}

// keptIn are the repositories of the registry in which a manifest may be, the one
// that is pushed to first: where it was pulled from or pushed to, and those of the
// image's other names. That it has the name under which it is pushed tells nothing.
func (p *pushing) keptIn(manifest v1.Hash) (repositories []string) {
	add := func(repo string) {
		if !slices.Contains(repositories, repo) {
			repositories = append(repositories, repo)
		}
	}
	for _, repo := range p.o.Blobs.Repositories(registryKey(p.img), manifest) {
		add(repo)
	}
	own, _ := taggedName(p.img.String())
	for _, text := range p.now.RepoTags {
		if repo, here := strings.CutPrefix(text, p.img.Host.String()+"/"); here && text != own {
			add(repositoryOf(repo))
		}
	}
	slices.SortStableFunc(repositories, func(a, b string) int { return order(a == p.img.Repository, b == p.img.Repository) })
	return repositories
}

// repositoryOf is a name without its tag and digest.
func repositoryOf(name string) string {
	name, _, _ = strings.Cut(name, "@")
	if colon := strings.LastIndexByte(name, ':'); colon > strings.LastIndexByte(name, '/') {
		name = name[:colon]
	}
	return name
}

// wholeIn is what a source has under the digest of root, with all that it names;
// nil if that is not the same, or cannot be had by digests alone.
func wholeIn(ctx context.Context, src transfer.Source, root v1.Descriptor) *known {
	top, err := src.Resolve(ctx)
	if err != nil || top.Digest != root.Digest || top.MediaType != root.MediaType {
		return nil
	}
	k := &known{root: root}
	var manifests []v1.Descriptor
	if k.raw, manifests, k.blobs, err = named(ctx, src, root); err != nil {
		return nil
	}
	k.below = make([]document, len(manifests))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(mountJobs)
	for n, m := range manifests {
		group.Go(func() (err error) {
			k.below[n], err = imageBelow(ctx, src, m)
			return err
		})
	}
	if group.Wait() != nil {
		return nil
	}
	for _, d := range k.below {
		k.blobs = append(k.blobs, d.blobs...)
	}
	if slices.ContainsFunc(k.blobs, func(d v1.Descriptor) bool { return !d.MediaType.IsDistributable() }) {
		return nil
	}
	return k
}

// A document is a manifest below an index.
type document struct {
	desc  v1.Descriptor
	raw   []byte
	blobs []v1.Descriptor
}

// imageBelow gets a manifest that an index names; the error is not nil where it
// is an index again, of which an engine does not tell what it has.
func imageBelow(ctx context.Context, src transfer.Source, desc v1.Descriptor) (document, error) {
	if !desc.MediaType.IsImage() {
		return document{}, errNotMounted
	}
	d := document{desc: v1.Descriptor{MediaType: desc.MediaType, Size: desc.Size, Digest: desc.Digest}}
	var err error
	d.raw, _, d.blobs, err = named(ctx, src, d.desc)
	return d, err
}

// named gets a manifest and what it names.
func named(ctx context.Context, src transfer.Source, desc v1.Descriptor) (raw []byte, manifests, blobs []v1.Descriptor, err error) {
	if raw, err = src.Manifest(ctx, desc); err != nil {
		return nil, nil, nil, err
	}
	manifests, blobs, err = transfer.Named(desc, raw)
	return raw, manifests, blobs, err
}
