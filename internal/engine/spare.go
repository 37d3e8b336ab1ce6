package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/moby/client"

	"github.com/vicr-cli/vicr/internal/archive"
	"github.com/vicr-cli/vicr/internal/transfer"
)

var _ transfer.Planner = (*Sink)(nil)

// A planned image is one that is going to be loaded.
type planned struct {
	manifest v1.Hash
	config   v1.Descriptor
	layers   []v1.Descriptor
	diffIDs  []v1.Hash // as many as layers, or none: its config does not say
}

// A spared set is what the engine is not sent.
type spared struct {
	present string           // ID of the image, if the engine has all of it
	blobs   map[v1.Hash]bool // that the engine has
	images  []planned
	keeping keeping
	again   bool // nothing is spared, since that failed
}

// Plan says which blobs the engine has. Where it keeps unpacked layers, those
// that lie on the same layers there as in the image; else those whose content it
// has, which may have come to it under another digest: [Sink.Commit] finds that out.
func (s *Sink) Plan(ctx context.Context, p transfer.Plan) (func(v1.Descriptor) bool, error) {
	if p.Whole {
		s.renew()
	}
	leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	if p.Root.MediaType.IsIndex() { // said before anything is fetched
		if err := s.takesIndexes(ctx); err != nil {
			return nil, err
		}
	}
	s.spared = spared{again: p.Whole, images: imagesOf(p)}
	if err := s.look(ctx, p); err != nil && !silent(err) {
		return nil, err
	}
	switch {
	case s.spared.present != "":
		return func(v1.Descriptor) bool { return true }, nil
	case len(s.spared.blobs) > 0:
		return func(d v1.Descriptor) bool { return s.spared.blobs[d.Digest] }, nil
	}
	return nil, nil
}

// look asks the engine what it has.
func (s *Sink) look(ctx context.Context, p transfer.Plan) (err error) {
	if s.spared.keeping, err = s.engine.keeping(ctx); err != nil || p.Whole {
		return err
	}
	if s.spared.present, err = s.engine.holds(ctx, p.Root.Digest, s.spared); err != nil || s.spared.present != "" {
		return err
	}
	if err := readConfigs(ctx, p, s.spared.images); err != nil {
		return err
	}
	s.spared.blobs, err = s.engine.spares(ctx, s.spared)
	return err
}

// silent says whether an engine, or what stands before its socket, does not tell
// what was asked: then all of the image is loaded.
func silent(err error) bool {
	_, refused := errors.AsType[*ResponseError](err)
	return refused || errors.Is(err, transfer.ErrNotFound)
}

// imagesOf are the images of a plan.
func imagesOf(p transfer.Plan) []planned {
	var all []planned
	for h, raw := range p.Manifests {
		var m v1.Manifest
		if err := json.Unmarshal(raw, &m); err != nil || m.Config.Digest == (v1.Hash{}) {
			continue // an index
		}
		all = append(all, planned{manifest: h, config: m.Config, layers: m.Layers})
	}
	return all
}

// readConfigs finds the diff IDs of the layers.
func readConfigs(ctx context.Context, p transfer.Plan, images []planned) error {
	for i, one := range images {
		if one.config.Size > transfer.MaxManifest {
			continue
		}
		config, err := p.Read(ctx, one.config)
		if err != nil {
			return err
		}
		if ids, err := archive.DiffIDs(config); err == nil && len(ids) == len(one.layers) {
			images[i].diffIDs = ids
		}
	}
	return nil
}

// holds is the ID of an image that the engine has all of, "" if it lacks some.
func (e *Engine) holds(ctx context.Context, root v1.Hash, s spared) (id string, err error) {
	switch {
	case s.keeping == asCame && !e.saysWhatIsThere():
		return "", nil
	case s.keeping == asCame:
		id = root.String()
	case len(s.images) == 1 && s.images[0].manifest == root:
		id = s.images[0].config.Digest.String()
	default:
		return "", nil
	}
	whole, got, err := e.whole(ctx, id, s)
	if errors.Is(err, transfer.ErrNotFound) {
		return "", nil
	}
	if err != nil || !whole || got != id {
		return "", err
	}
	return id, nil
}

// whole says whether all of the image is there, and under which ID. The error
// wraps [transfer.ErrNotFound] if nothing is.
func (e *Engine) whole(ctx context.Context, img string, s spared) (whole bool, id string, err error) {
	if s.keeping != asCame || !e.saysWhatIsThere() {
		i, err := e.inspect(ctx, img)
		return err == nil, i.ID, err
	}
	i, err := e.inspect(ctx, img, client.ImageInspectWithManifests(true))
	if err != nil {
		return false, "", err
	}
	there := map[string]bool{}
	for _, m := range i.Manifests {
		there[m.Descriptor.Digest.String()] = m.Available
	}
	for _, one := range s.images {
		if !there[one.manifest.String()] {
			return false, i.ID, nil
		}
	}
	return true, i.ID, nil
}

// spares are the layers that the engine has and its load can do without.
func (e *Engine) spares(ctx context.Context, s spared) (map[v1.Hash]bool, error) {
	if s.keeping == asCame && !e.saysWhatIsThere() {
		return nil, nil //nolint:nilnil // whether it has all would not be known afterwards
	}
	stock, err := e.stock(ctx)
	if err != nil {
		return nil, err
	}
	blobs := map[v1.Hash]bool{}
	for _, one := range s.images {
		for i, has := range s.keeping.known(stock, one.diffIDs) {
			if has {
				blobs[one.layers[i].Digest] = true
			}
		}
	}
	// A blob may be a layer twice, and known only where it lies first.
	for _, one := range s.images {
		for i, has := range s.keeping.known(stock, one.diffIDs) {
			if !has {
				delete(blobs, one.layers[i].Digest)
			}
		}
	}
	return blobs, nil
}

// renew makes the sink as new after a load that failed.
func (s *Sink) renew() {
	<-s.turn
	defer func() { s.turn <- struct{}{} }()
	s.load, s.failed, s.has, s.spared = nil, nil, map[v1.Hash]bool{}, spared{}
}

// adopt gives the name to the image that the engine has already.
func (s *Sink) adopt(ctx context.Context) error {
	name, err := taggedName(s.image)
	if err != nil || name == "" {
		return err
	}
	if now, err := s.engine.imageID(ctx, name); err == nil && now == s.spared.present {
		return nil
	}
	err = s.engine.Tag(ctx, s.spared.present, name)
	if errors.Is(err, transfer.ErrNotFound) {
		return fmt.Errorf("%w: %w", transfer.ErrSpared, err)
	}
	return err
}

// remember notes the digests of the layers that the engine has just unpacked out
// of this load, and so held against their diff IDs, and what the image was loaded as.
func (s *Sink) remember(root v1.Descriptor) {
	if s.spared.again || s.spared.keeping != unpacked || len(s.spared.images) != 1 {
		return
	}
	one := s.spared.images[0]
	fresh, proven := map[v1.Hash]v1.Descriptor{}, len(one.diffIDs) == len(one.layers)
	for i, id := range one.diffIDs {
		l := one.layers[i]
		if s.has[l.Digest] {
			fresh[id] = l
			continue
		}
		proven = proven && slices.ContainsFunc(s.engine.o.Layers.Blobs(id), func(d v1.Descriptor) bool { return d.Digest == l.Digest })
	}
	// What is not remembered is compressed once more.
	_ = s.engine.o.Layers.Add(fresh)
	if proven {
		_ = s.engine.o.Layers.Add(map[v1.Hash]v1.Descriptor{one.config.Digest: one.config})
		_ = s.engine.o.Manifests.Add(one.config.Digest.String(), root)
	}
}

// blamed adds to an error of a load that something was left out of it.
func (s *Sink) blamed(err error) error {
	if refusal, ok := errors.AsType[*LoadError](err); ok && len(s.spared.blobs) > 0 {
		return fmt.Errorf("%w: %w", transfer.ErrSpared, refusal)
	}
	return err
}
