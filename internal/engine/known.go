package engine

import (
	"context"
	"errors"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/moby/api/types/image"
	"golang.org/x/sync/errgroup"

	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/transfer"
)

const (
	maxKnown  = 3 // manifests of one image that the registry is asked for
	maxBases  = 2 // images that share layers whose manifests are
	mountJobs = 4 // blobs that are mounted at the same time
)

// A known image of the engine is one of which the registry that is pushed to has
// the manifest: as what it was pulled, or pushed.
type known struct {
	from  string // repository
	root  v1.Descriptor
	raw   []byte
	below []document      // of an index
	blobs []v1.Descriptor // of a single image: the config, and layers as many as it has, in its order
}

func (k *known) layers() []v1.Descriptor { return k.blobs[1:] }

// pushKnown pushes what the registry has already, with the digests that it has
// there: the engine has no part in that. It says whether that could be done.
func (p *pushing) pushKnown(ctx context.Context, again func(v1.Descriptor) bool) (transfer.Result, bool) {
	var k *known
	if keeps(p.now) {
		k = p.keptAs(ctx)
	} else {
		k = p.knownAs(ctx, p.now)
	}
	if k == nil || again != nil && !again(k.root) {
		return transfer.Result{}, false
	}
	blobs := distinct(k.blobs)
	if k.from != p.img.Repository && !p.takes(ctx, k, blobs) {
		return transfer.Result{}, false
	}
	if p.dst.Commit(ctx, k.root, k.raw) != nil { // what it says to the engine's push says more
		return transfer.Result{}, false
	}
	// What is not remembered costs a few requests.
	_ = p.o.Manifests.Add(p.now.ID, k.root)
	p.rememberBlobs(k.root, blobs)
	tell(p.on, append([]v1.Descriptor{k.root}, blobs...)...)
	res := transfer.Result{Resolved: k.root, Root: k.root}
	for _, b := range blobs {
		res.Reused += b.Size
	}
	return res, true
}

// takes has the registry take all that an image names from another of its
// repositories, and says whether it did.
func (p *pushing) takes(ctx context.Context, k *known, blobs []v1.Descriptor) bool {
	if !p.mounts(ctx, k.from, blobs) {
		return false
	}
	for _, d := range k.below {
		if p.dst.PutManifest(ctx, d.desc, d.raw) != nil {
			return false
		}
	}
	return true
}

var errNotMounted = errors.New("not mounted")

// mounts has the registry take all blobs from another of its repositories, and
// says whether it did. The first one finds out if it does so at all.
func (p *pushing) mounts(ctx context.Context, from string, blobs []v1.Descriptor) bool {
	mount := func(ctx context.Context, b v1.Descriptor) error {
		mounted, err := p.dst.MountBlob(ctx, b.Digest, from)
		if err == nil && !mounted {
			err = errNotMounted
		}
		return err
	}
	if mount(ctx, blobs[0]) != nil {
		return false
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(mountJobs)
	for _, b := range blobs[1:] {
		group.Go(func() error { return mount(ctx, b) })
	}
	return group.Wait() == nil
}

// knownAs gets the manifest of an image in the engine out of the registry that is
// pushed to, where the engine or the memo says that it has it; nil if not. It is
// the image's if its config is: that is what an engine that keeps layers
// unpacked calls an image after.
func (p *pushing) knownAs(ctx context.Context, i *image.InspectResponse) *known {
	id, err := v1.NewHash(i.ID)
	if err != nil || p.o.Open == nil {
		return nil
	}
	all := p.places(i, id)
	for _, at := range all[:min(len(all), maxKnown)] {
		src := p.o.Open(at)
		top, err := src.Resolve(ctx)
		if err != nil {
			continue
		}
		if k := imageIn(ctx, src, top, i, id); k != nil {
			k.from = at.Repository
			return k
		}
	}
	return nil
}

// places are where the registry may have the image, the repository that is
// pushed to first.
func (p *pushing) places(i *image.InspectResponse, id v1.Hash) (all []ref.Image) {
	add := func(repo, digest string) {
		at := ref.Image{Host: p.img.Host, Repository: repo, Digest: digest}
		if !slices.Contains(all, at) {
			all = append(all, at)
		}
	}
	for _, text := range i.RepoDigests {
		name, digest, _ := strings.Cut(text, "@")
		repo, here := strings.CutPrefix(name, p.img.Host.String()+"/")
		_, err := v1.NewHash(digest)
		switch {
		case digest == i.ID: // the containerd store: it has the manifest itself
			return nil
		case here && err == nil:
			add(repo, digest)
		}
	}
	for _, repo := range p.o.Blobs.Repositories(registryKey(p.img), id) {
		for _, root := range p.o.Manifests.Of(i.ID) {
			add(repo, root.Digest.String())
		}
	}
	slices.SortStableFunc(all, func(a, b ref.Image) int {
		return order(a.Repository == p.img.Repository, b.Repository == p.img.Repository)
	})
	return all
}

// order sorts what is so before what is not.
func order(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// imageIn is the image whose config is id in what a source has, by itself or in
// an index; nil if it is not there, or cannot be had by digests alone.
func imageIn(ctx context.Context, src transfer.Source, desc v1.Descriptor, i *image.InspectResponse, id v1.Hash) *known {
	raw, err := src.Manifest(ctx, desc)
	if err != nil {
		return nil
	}
	manifests, blobs, err := transfer.Named(desc, raw)
	if err != nil {
		return nil
	}
	if len(blobs) > 0 {
		foreign := slices.ContainsFunc(blobs, func(d v1.Descriptor) bool { return !d.MediaType.IsDistributable() })
		if blobs[0].Digest != id || len(blobs)-1 != len(i.RootFS.Layers) || foreign {
			return nil
		}
		return &known{root: desc, raw: raw, blobs: blobs}
	}
	for _, child := range manifests {
		fits := child.Platform != nil && child.Platform.OS == i.Os && child.Platform.Architecture == i.Architecture
		if !fits || !child.MediaType.IsImage() {
			continue
		}
		plain := v1.Descriptor{MediaType: child.MediaType, Size: child.Size, Digest: child.Digest}
		if k := imageIn(ctx, src, plain, i, id); k != nil {
			return k
		}
	}
	return nil
}

// learn notes as what blobs the registry has layers of the image that others in
// the engine have too: they need neither be compressed nor sent when the image is
// saved.
func (p *pushing) learn(ctx context.Context) {
	if p.o.Open == nil || p.engine.o.Layers == nil || p.o.Blobs == nil {
		return
	}
	asked := 0
	for _, o := range p.others(ctx) {
		if asked == maxBases {
			return
		}
		asked++
		k := p.knownAs(ctx, o.img)
		if k == nil {
			continue
		}
		blobs := map[v1.Hash]v1.Descriptor{}
		for n, diffID := range diffIDsOf(*o.img) {
			blobs[diffID] = k.layers()[n]
		}
		_ = p.engine.o.Layers.Add(blobs) // what is not remembered is compressed
		_ = p.o.Blobs.Add(registryKey(p.img), k.from, digests(k.layers())...)
	}
}
