package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/client"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/relay"
	"github.com/vicr-cli/vicr/internal/transfer"
)

// A pulling is one call of [Relay.Pull].
type pulling struct {
	*Relay
	img      ref.Image
	name     string // that the image gets, NAME:TAG
	head     Header
	src      transfer.Source
	platform v1.Platform
	on       func(transfer.Event)

	resolved v1.Descriptor // what the name stands for: possibly an index
	root     v1.Descriptor // the image
	top      []byte        // the bytes of resolved
	config   v1.Descriptor
	layers   []v1.Descriptor
}

// Pull gets img for a platform out of src, which is to ask for nothing twice
// ([transfer.Keep]); head is the same source. Nothing is moved if the engine has
// it: if it is known what the image in the engine was pulled or pushed as, that
// takes one HEAD. Errors are those of src, a [*ResponseError], an
// [*UnavailableError], or [ErrNoRelay].
func (r *Relay) Pull(ctx context.Context, img ref.Image, src transfer.Source, head Header, platform v1.Platform, on func(transfer.Event)) (transfer.Result, error) {
	name, err := taggedName(r.o.named(img))
	if err != nil || name == "" {
		return transfer.Result{}, errors.Join(err, ErrNoRelay) // a digest alone is no name that can be given
	}
	p := &pulling{Relay: r, img: img, name: name, head: head, src: src, platform: platform, on: on}
	has, err := p.has(ctx)
	_ = r.Tidy(ctx) // after what a killed run pulled was found; the next run tries again
	if err != nil || has {
		return p.result(0), err
	}
	return p.pull(ctx)
}

// has says whether the engine has the image, under its name by now.
func (p *pulling) has(ctx context.Context) (bool, error) {
	now, err := p.engine.inspected(ctx, p.name)
	if err != nil {
		return false, err
	}
	if now != nil && p.remembered(ctx, now) {
		return true, nil
	}
	if err := p.resolve(ctx); err != nil {
		return false, err
	}
	return p.held(ctx, now)
}

// byPlatform is what the memo calls an image that was chosen out of an index.
func (p *pulling) byPlatform(id string) string { return id + "/" + p.platform.String() }

// within is what the memo calls the image that was chosen out of an index. An engine
// that keeps manifests calls several of them after the index.
func (p *pulling) within(id string, index v1.Hash) string {
	return p.byPlatform(id) + "/" + index.String()
}

// remembered asks what the tag stands for, if there is hope that this alone
// shows that the engine has it.
func (p *pulling) remembered(ctx context.Context, now *image.InspectResponse) bool {
	m := p.o.Manifests
	images, indexes := m.Of(now.ID), m.Of(p.byPlatform(now.ID))
	if len(images)+len(indexes)+len(now.RepoDigests) == 0 {
		return false
	}
	head, err := p.head.Head(ctx)
	if err != nil {
		return false // the registry says it better when it is asked for the manifest
	}
	desc := v1.Descriptor{MediaType: head.MediaType, Size: head.Size, Digest: head.Digest}
	p.resolved, p.root = desc, desc
	known := has(images, head.Digest)
	told := head.MediaType.IsImage() && (now.ID == head.Digest.String() || slices.Contains(now.RepoDigests, p.img.Name()+"@"+head.Digest.String()))
	if !known && !told {
		children := m.Of(p.within(now.ID, head.Digest))
		if !has(indexes, head.Digest) || len(children) == 0 {
			return false
		}
		p.root = children[0]
	}
	if !p.complete(now) {
		return false
	}
	if told && !known {
		p.remember(now.ID)
	}
	tell(p.on, p.root)
	return true
}

// complete says whether what the engine calls img has all of the image that is
// pulled. One that keeps manifests answers for an index of which it has another part
// too, even if it is asked for a platform: the index names that.
func (p *pulling) complete(img *image.InspectResponse) bool {
	switch {
	case !keeps(img):
		return true
	case !p.engine.saysWhatIsThere():
		return img.ID == p.root.Digest.String()
	}
	return slices.ContainsFunc(img.Manifests, func(m image.ManifestSummary) bool {
		return m.Available && m.Descriptor.Digest.String() == p.root.Digest.String()
	})
}

// resolve gets the manifest of the image, and that of the index it is in.
func (p *pulling) resolve(ctx context.Context) (err error) {
	if p.resolved, err = p.src.Resolve(ctx); err != nil {
		return err
	}
	if p.top, err = p.src.Manifest(ctx, p.resolved); err != nil {
		return fmt.Errorf("manifest %s: %w", p.resolved.Digest, err)
	}
	root, raw, err := transfer.RawManifest(ctx, p.src, &p.platform)
	if err != nil {
		return err
	}
	_, blobs, err := transfer.Named(root, raw)
	if err != nil {
		return err
	}
	if !root.MediaType.IsImage() || len(blobs) == 0 {
		return ErrNoRelay
	}
	p.root, p.config, p.layers = root, blobs[0], blobs[1:]
	for _, l := range p.layers {
		if !l.MediaType.IsDistributable() {
			return ErrNoRelay // the engine would follow its URLs
		}
	}
	return nil
}

// held says whether the engine has the image, and gives it its name if it has it
// under another one.
func (p *pulling) held(ctx context.Context, now *image.InspectResponse) (bool, error) {
	for _, id := range []string{p.config.Digest.String(), p.resolved.Digest.String()} {
		img := now
		if now == nil || now.ID != id {
			var err error
			if img, err = p.engine.inspected(ctx, id); err != nil {
				return false, err
			}
		}
		if img == nil || img.ID != id {
			continue
		}
		if !p.complete(img) {
			return false, nil
		}
		if img != now {
			if err := p.engine.Tag(ctx, id, p.name); err != nil {
				return false, err
			}
		}
		p.remember(id)
		tell(p.on, append([]v1.Descriptor{p.root, p.config}, p.layers...)...)
		return true, nil
	}
	return false, nil
}

// pull has the engine pull through a relay.
func (p *pulling) pull(ctx context.Context) (res transfer.Result, err error) {
	s, err := p.open(ctx, p.img, p.config.Digest.String(), p.resolved.Digest.String())
	if err != nil {
		return res, err
	}
	defer s.Close() //nolint:errcheck // a port that nobody knows any more
	served, err := s.Pull(p.img.Repository, s.tag, p.src, p.resolved, p.top)
	if err != nil {
		return res, errors.Join(err, s.record.done())
	}
	err = p.with(ctx, s, func(ctx context.Context) error {
		if err := p.run(ctx, s); err != nil {
			return err
		}
		id, err := p.take(ctx, s, served)
		if err == nil {
			p.remember(id)
		}
		return err
	})
	return p.result(served.Served()), err
}

// take gives what the engine has pulled its name, and says what the engine calls
// it: something of what it was given. An engine that may keep manifests calls it after
// what the tag stands for, if it does; to look what a name stands for takes it longer.
func (p *pulling) take(ctx context.Context, s *session, served *relay.Pull) (id string, err error) {
	if p.engine.saysWhatIsThere() {
		id = p.resolved.Digest.String()
		if err := p.engine.Tag(ctx, id, p.name); !errors.Is(err, transfer.ErrNotFound) {
			return id, err
		}
	}
	if id, err = p.engine.imageID(ctx, s.name.Name); err != nil {
		return "", err
	}
	if !slices.Contains(served.IDs(), id) {
		return "", refusal("pull "+p.img.String(), "what it has then, "+id+", is not what it was given")
	}
	return id, p.engine.Tag(ctx, s.name.Name, p.name)
}

// run is the engine's own pull.
func (p *pulling) run(ctx context.Context, s *session) error {
	auth, err := authFor(s.Relay)
	if err != nil {
		return err
	}
	op := "pull " + p.img.String()
	ctx, stop := p.engine.guard(ctx)
	defer stop()
	res, err := p.engine.api.ImagePull(ctx, s.name.Name, client.ImagePullOptions{
		RegistryAuth: auth, Platforms: []ocispec.Platform{*ociPlatform(p.platform)},
	})
	if err != nil {
		return p.engine.ended(ctx, op, "", err)
	}
	defer res.Close() //nolint:errcheck // only read
	words, err := follow(res, newLayerEvents(byShort(p.layers), p.on).heard)
	return p.engine.ended(ctx, op, words, err)
}

// remember notes what the engine calls the image, and where its blobs are. What
// is not remembered costs a few requests.
func (p *pulling) remember(id string) {
	facts := map[string]v1.Descriptor{id: p.root}
	if p.resolved.Digest != p.root.Digest {
		facts[p.byPlatform(id)], facts[p.within(id, p.resolved.Digest)] = p.resolved, p.root
	}
	_ = p.o.Manifests.AddAll(facts)
	if p.config.Digest != (v1.Hash{}) {
		all := append([]v1.Descriptor{p.config}, p.layers...)
		if id == p.resolved.Digest.String() { // a push then asks where its manifest is
			all = append(all, p.root, p.resolved)
		}
		_ = p.o.Blobs.Add(registryKey(p.img), p.img.Repository, digests(all)...)
	}
}

// Loaded notes what the engine calls img, which was loaded for a platform as moved
// says, since no relay could be used: the next pull then asks the registry for no
// more than what the name stands for.
func (r *Relay) Loaded(ctx context.Context, img ref.Image, platform v1.Platform, moved transfer.Result) {
	name, err := taggedName(r.o.named(img))
	if err != nil || name == "" {
		return
	}
	id, err := r.engine.imageID(ctx, name)
	if err != nil {
		return // what is not remembered costs a few requests
	}
	p := &pulling{Relay: r, img: img, platform: platform, resolved: moved.Resolved, root: moved.Root}
	p.remember(id)
}

func (p *pulling) result(moved int64) transfer.Result {
	var all int64
	for _, b := range distinct(append([]v1.Descriptor{p.config}, p.layers...)) {
		all += b.Size
	}
	return transfer.Result{Resolved: p.resolved, Root: p.root, Bytes: moved, Reused: max(0, all-moved)}
}

// distinct leaves out what comes again: an image may have a layer twice.
func distinct(descs []v1.Descriptor) []v1.Descriptor {
	var all []v1.Descriptor
	seen := map[v1.Hash]bool{}
	for _, d := range descs {
		if !seen[d.Digest] {
			all = append(all, d)
		}
		seen[d.Digest] = true
	}
	return all
}

func digests(descs []v1.Descriptor) []v1.Hash {
	var all []v1.Hash
	for _, d := range distinct(descs) {
		all = append(all, d.Digest)
	}
	return all
}

func ociPlatform(p v1.Platform) *ocispec.Platform {
	return &ocispec.Platform{
		OS: p.OS, Architecture: p.Architecture, Variant: p.Variant, OSVersion: p.OSVersion, OSFeatures: p.OSFeatures,
	}
}
