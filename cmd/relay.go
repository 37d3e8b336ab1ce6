package cmd

import (
	"context"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/vicr-cli/vicr/internal/auth"
	"github.com/vicr-cli/vicr/internal/engine"
	"github.com/vicr-cli/vicr/internal/harbor"
	"github.com/vicr-cli/vicr/internal/memo"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/registry"
	"github.com/vicr-cli/vicr/internal/transfer"
)

// relay is the way by which an engine itself pulls and pushes, where name is what
// it calls the image; the error is [engine.ErrNoRelay] where a place is none. open
// may be nil.
func (a *app) relay(at place, name ref.Image, open func(ref.Image) transfer.Source) (*engine.Relay, error) {
	e, ok := at.(enginePlace)
	if !ok {
		return nil, engine.ErrNoRelay
	}
	var o engine.RelayOptions
	if d := a.dirs(); d.State != "" && d.Cache != "" {
		o = engine.RelayOptions{
			Names: filepath.Join(d.State, "relay"), Blobs: memo.OpenBlobs(d.Cache), Manifests: memo.OpenManifests(d.Cache),
			Name: name.String(), Open: open,
		}
	}
	return e.Relay(o), nil
}

// relayPull has the engine pull img under a name. A nil platform is all of them,
// which no engine pulls at once.
func (a *app) relayPull(ctx context.Context, at place, name, img ref.Image, src transfer.Source, head engine.Header, p *v1.Platform, onEvent func(transfer.Event)) (transfer.Result, error) {
	r, err := a.relay(at, name, nil)
	if err != nil || p == nil {
		return transfer.Result{}, engine.ErrNoRelay
	}
	return r.Pull(ctx, img, src, head, *p, onEvent)
}

// loaded remembers what was pulled without the relay, if that was into an engine.
func (a *app) loaded(ctx context.Context, at place, name, img ref.Image, p *v1.Platform, moved transfer.Result) {
	if r, err := a.relay(at, name, nil); err == nil && p != nil {
		r.Loaded(ctx, img, *p, moved)
	}
}

// relayPush has the engine push as img what it calls name. It pushes all that it
// has: one platform of several is no matter of it. What the registry would keep in
// no list is pushed again: the engine may make another kind of manifest of it.
func (a *app) relayPush(ctx context.Context, at place, name, img ref.Image, dst *registry.Repository, to *road, asks auth.Asks, how transfer.Options) (transfer.Result, error) {
	r, err := a.relay(at, name, func(other ref.Image) transfer.Source { return registry.Open(other, to.auth, to.base) })
	if err != nil || how.Platform != nil {
		return transfer.Result{}, engine.ErrNoRelay
	}
	listed := func(d v1.Descriptor) bool { return harbor.Lists(asks.Service, asks.Message, string(d.MediaType)) }
	begun := false
	begin := func(root v1.Descriptor) {
		if begun = root.MediaType != types.DockerManifestList; begun { // which may be pushed as one image
			how.OnBegin(root)
		}
	}
	moved, err := r.Push(ctx, img, dst, listed, begin, how.OnEvent)
	if err == nil && !begun { // engines that do not say what they push push docker's media types
		how.OnBegin(moved.Root)
	}
	return moved, err
}

// copyByRelay is a copy between a registry and an engine; the error is
// [engine.ErrNoRelay] where an end is neither, or there is no relay.
func (a *app) copyByRelay(ctx context.Context, src transfer.Source, from, to end, asks auth.Asks, how transfer.Options) (transfer.Result, error) {
	switch {
	case from.at == nil && to.at != nil:
		return a.relayPull(ctx, to.at, to.img, from.img, transfer.Keep(src), header{src}, how.Platform, how.OnEvent)
	case from.at != nil && to.at == nil:
		return a.relayPush(ctx, from.at, from.img, to.img, to.repository(a), to.road, asks, how)
	}
	return transfer.Result{}, engine.ErrNoRelay
}

// A header is a source that was asked already what its name stands for.
type header struct{ src transfer.Source }

func (h header) Head(ctx context.Context) (v1.Descriptor, error) { return h.src.Resolve(ctx) }
