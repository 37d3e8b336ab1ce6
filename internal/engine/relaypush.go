package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/client"

	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/relay"
	"github.com/vicr-cli/vicr/internal/transfer"
)

// A pushing is one call of [Relay.Push].
type pushing struct {
	*Relay
	img ref.Image
	dst RelayTarget
	on  func(transfer.Event)
	now *image.InspectResponse

	guessing sync.Once
	guesses  []string

	hangUp func() // ends the engine's push, of which nothing more is wanted
}

// Push takes img out of the engine to dst. If it is known what the image was
// pulled or pushed as, and the registry has just that under the name, that is
// one HEAD; unless again says no of that. If the registry has the manifest
// elsewhere, that is put here, and its blobs are mounted, without the engine; blobs
// that the registry is known to have elsewhere are mounted in any case. Before the
// engine sends a byte, begin is told what it says that it will push, if it does: an
// index may come out as one of its images. All three functions may be nil.
// Errors are those of dst, a [*ResponseError], an [*UnavailableError], [ErrNoRelay], or
// wrap [transfer.ErrNotFound] if the engine has no such image.
func (r *Relay) Push(ctx context.Context, img ref.Image, dst RelayTarget, again func(v1.Descriptor) bool, begin func(v1.Descriptor), on func(transfer.Event)) (transfer.Result, error) {
	_ = r.Tidy(ctx) // the next run tries again
	name := r.o.named(img)
	now, err := r.engine.found.take(name), error(nil)
	if now == nil {
		now, err = r.engine.inspected(ctx, name)
	}
	if err != nil {
		return transfer.Result{}, err
	}
	if now == nil {
		return transfer.Result{}, fmt.Errorf("%s in the engine: %w", name, transfer.ErrNotFound)
	}
	p := &pushing{Relay: r, img: img, dst: dst, on: on, now: now}
	if desc, has := p.pushed(ctx); has && (again == nil || again(desc)) {
		tell(on, desc)
		return transfer.Result{Resolved: desc, Root: desc}, nil
	}
	if res, done := p.pushKnown(ctx, again); done {
		return res, nil
	}
	if d := now.Descriptor; d != nil && begin != nil {
		if digest, err := v1.NewHash(d.Digest.String()); err == nil {
			begin(v1.Descriptor{MediaType: types.MediaType(d.MediaType), Digest: digest, Size: d.Size})
		}
	}
	res, err := p.push(ctx)
	if errors.Is(err, ErrNoRelay) { // it is to be saved
		p.learn(ctx)
	}
	return res, err
}

// pushed says whether the registry has just this image under the name, and as
// what. It is asked only if there is hope.
func (p *pushing) pushed(ctx context.Context) (v1.Descriptor, bool) {
	memo, told := p.o.Manifests.Of(p.now.ID), p.told()
	if len(memo)+len(told) == 0 {
		return v1.Descriptor{}, false
	}
	head, err := p.dst.Head(ctx)
	if err != nil {
		return v1.Descriptor{}, false // the registry says it better when it is sent something
	}
	same := head.Digest.String() == p.now.ID || head.MediaType.IsImage() && slices.Contains(told, head.Digest.String())
	return head, same || has(memo, head.Digest)
}

// told is what the engine says that the image was pulled or pushed as.
func (p *pushing) told() []string {
	var all []string
	for _, text := range p.now.RepoDigests {
		if name, digest, _ := strings.Cut(text, "@"); name == p.img.Name() {
			all = append(all, digest)
		}
	}
	return all
}

// push has the engine push through a relay.
func (p *pushing) push(ctx context.Context) (res transfer.Result, err error) {
	defer p.guessAhead(ctx)()
	s, err := p.open(ctx, p.img, p.now.ID)
	if err != nil {
		return res, err
	}
	defer s.Close() //nolint:errcheck // a port that nobody knows any more
	taken := s.Push(p.img.Repository, s.tag, p.dst, func(blob v1.Hash) []string {
		if known := p.o.Blobs.Repositories(registryKey(p.img), blob); len(known) > 0 {
			return known
		}
		return p.guess(ctx)
	})
	err = p.with(ctx, s, func(ctx context.Context) error {
		if err := p.engine.Tag(ctx, p.now.ID, s.name.Name); err != nil {
			return err
		}
		return p.run(ctx, s, taken)
	})
	if p.hangUp != nil {
		p.hangUp()
	}
	if err != nil {
		return res, err
	}
	root := taken.Root()
	if root.Digest == (v1.Hash{}) {
		return res, refusal("push "+p.img.String(), "all went well, but it has sent no manifest")
	}
	// What is not remembered costs a few requests.
	_ = p.o.Manifests.Add(p.now.ID, root)
	p.rememberBlobs(root, taken.Blobs())
	return p.result(root, taken), nil
}

// rememberBlobs notes what the repository has now: the manifest too, where an
// engine calls images after theirs. What is not remembered costs a few requests.
func (p *pushing) rememberBlobs(root v1.Descriptor, blobs []v1.Descriptor) {
	all := digests(blobs)
	if keeps(p.now) {
		all = append(all, root.Digest)
	}
	_ = p.o.Blobs.Add(registryKey(p.img), p.img.Repository, all...)
}

func (p *pushing) result(root v1.Descriptor, taken *relay.Push) transfer.Result {
	res := transfer.Result{Resolved: root, Root: root, Bytes: taken.Sent()}
	for _, b := range taken.Blobs() {
		if !b.MediaType.IsDistributable() {
			res.Left = append(res.Left, b)
			continue
		}
		res.Reused += b.Size
	}
	res.Reused = max(0, res.Reused-res.Bytes)
	return res
}

// run is the engine's own push. One that keeps manifests notes at each blob, at the
// end, in which registry it is now, one after the other on its disk. That is the
// relay, which is gone then: nobody waits for it once the real one has all.
func (p *pushing) run(ctx context.Context, s *session, taken *relay.Push) error {
	auth, err := authFor(s.Relay)
	if err != nil {
		return err
	}
	op := "push " + p.img.String()
	ctx, stop := p.engine.guard(ctx)
	res, err := p.engine.api.ImagePush(ctx, s.name.Name, client.ImagePushOptions{RegistryAuth: auth})
	if err != nil {
		err = p.engine.ended(ctx, op, "", err)
		stop()
		return err
	}
	layers, ended := newLayerEvents(p.layers(), p.on), make(chan error, 1)
	var following sync.WaitGroup
	following.Go(func() {
		words, err := follow(res, layers.heard)
		ended <- p.engine.ended(ctx, op, words, err)
	})
	var enough <-chan struct{}
	if keeps(p.now) {
		enough = taken.Committed()
	}
	select {
	case err = <-ended:
		stop()
		_ = res.Close() // only read
		return err
	case <-enough:
		p.finish(layers, taken)
		p.hangUp = func() {
			stop()
			following.Wait()
			_ = res.Close()
		}
		return nil
	}
}

// finish tells of the layers of which the engine would say later that they are there.
func (p *pushing) finish(layers *layerEvents, taken *relay.Push) {
	for _, b := range taken.Blobs() {
		switch {
		case !b.MediaType.IsLayer() || !b.MediaType.IsDistributable():
		case taken.Moved(b.Digest):
			layers.finish(b, transfer.Done)
		default:
			layers.finish(b, transfer.Existed)
		}
	}
}

// layers are the diff IDs: that is what engines call the layers that they push.
func (p *pushing) layers() map[string]v1.Descriptor {
	var all []v1.Descriptor
	for _, text := range p.now.RootFS.Layers {
		if id, err := v1.NewHash(text); err == nil {
			all = append(all, v1.Descriptor{Digest: id})
		}
	}
	return byShort(all)
}
