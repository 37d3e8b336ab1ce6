package engine

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
	"golang.org/x/sync/errgroup"

	"github.com/vicr-cli/vicr/internal/transfer"
)

var _ transfer.Pourer = (*Source)(nil)

// askJobs is how many blobs a sink is asked about at the same time.
const askJobs = 4

// A pour is one pass over the save stream of an image.
type pour struct {
	*held
	engine *Engine
	image  string
	to     *transfer.Pouring

	id     v1.Hash   // of the image: the digest of its config
	layers []v1.Hash // diff IDs from the lowest up, as the engine tells

	mu    sync.Mutex
	blobs map[v1.Hash]v1.Descriptor // that the sink has, by their diff IDs

	config entry // once it has come
	buffer []byte
}

// Pour gives out the image in one pass. If it is known what the image was moved
// as before, and the sink has that, nothing is read; nor is, if all its layers
// and its config are known and the sink has them. Layers are compressed while
// they are sent. Nothing is kept on disk. Errors are those of [Source.Resolve].
func (s *Source) Pour(ctx context.Context, to *transfer.Pouring) error {
	i, err := s.engine.inspect(ctx, s.image)
	if err != nil {
		return err
	}
	asKept, err := s.engine.keepsManifests(ctx)
	if err != nil {
		return err
	}
	before := s.engine.o.Manifests.Of(i.ID)
	if d := i.Descriptor; asKept && d != nil && d.Digest.String() == i.ID {
		if h, err := v1.NewHash(i.ID); err == nil {
			before = append(before, v1.Descriptor{MediaType: types.MediaType(d.MediaType), Size: d.Size, Digest: h})
		}
	}
	for _, root := range before {
		if has, err := to.Holds(ctx, root); err != nil || has {
			return err
		}
	}
	p := &pour{
		held: &held{files: map[string]entry{}}, image: s.image, to: to, engine: s.engine,
		layers: diffIDsOf(i), blobs: map[v1.Hash]v1.Descriptor{}, buffer: make([]byte, copyBuffer),
	}
	var sv *saved
	if asKept {
		sv, err = p.blobsAsKept(ctx)
	} else if p.id, err = v1.NewHash(i.ID); err == nil {
		sv, err = p.layersAsGzip(ctx)
	}
	if err != nil {
		return saveError(s.image, err)
	}
	_ = s.engine.o.Manifests.Add(i.ID, sv.root) // what is not remembered is done once more
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saved = sv
	return nil
}

func (p *pour) saved() *saved {
	return &saved{archive: p.held, manifests: map[v1.Hash][]byte{}, blobs: map[v1.Hash]entry{}}
}

// layersAsGzip pours an image whose layers the engine keeps unpacked.
func (p *pour) layersAsGzip(ctx context.Context) (*saved, error) {
	if err := p.ask(ctx); err != nil {
		return nil, err
	}
	if sv, err := p.unread(ctx); sv != nil || err != nil {
		return sv, err
	}
	err := p.engine.saving(ctx, p.image, func(ctx context.Context, r io.Reader) error {
		return eachFile(ctx, r, func(name string, h *tar.Header, r io.Reader) (bool, error) {
			err := p.takeLayer(ctx, name, h, r)
			return p.enough(), err
		})
	})
	if err != nil {
		return nil, err
	}
	return p.made()
}

// ask finds the layers that the sink has, out of those whose blobs are known.
func (p *pour) ask(ctx context.Context) error {
	layers := slices.Clone(p.layers)
	slices.SortFunc(layers, func(a, b v1.Hash) int { return strings.Compare(a.String(), b.String()) })
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(askJobs)
	for _, id := range slices.Compact(layers) {
		group.Go(func() error {
			for _, desc := range p.engine.o.Layers.Blobs(id) {
				if !isGzipLayer(desc.MediaType) {
					continue
				}
				desc.MediaType = types.DockerLayer // the same bytes
				has, err := p.to.Has(ctx, desc)
				if err != nil {
					return err
				}
				if has {
					p.found(id, desc)
					return nil
				}
			}
			return nil
		})
	}
	return group.Wait()
}

func isGzipLayer(t types.MediaType) bool { return t == types.DockerLayer || t == types.OCILayer }

func (p *pour) found(id v1.Hash, desc v1.Descriptor) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.blobs[id] = desc
}

// unread is an image of which the sink has all but the manifest; nil if not.
func (p *pour) unread(ctx context.Context) (*saved, error) {
	if len(p.layers) == 0 {
		return nil, nil //nolint:nilnil // it is to be read
	}
	for _, id := range p.layers {
		if _, ok := p.blobs[id]; !ok {
			return nil, nil //nolint:nilnil // it is to be read
		}
	}
	for _, config := range p.engine.o.Layers.Blobs(p.id) {
		if config.Digest != p.id {
			continue
		}
		config.MediaType = types.DockerConfigJSON
		if has, err := p.to.Has(ctx, config); err != nil || !has {
			return nil, err
		}
		sv := p.saved()
		return sv, sv.makeRoot(config, p.descriptors(p.layers))
	}
	return nil, nil //nolint:nilnil // it is to be read
}

func (p *pour) descriptors(layers []v1.Hash) []v1.Descriptor {
	all := make([]v1.Descriptor, len(layers))
	for i, id := range layers {
		all[i] = p.blobs[id]
	}
	return all
}

// takeLayer takes a file of an archive with unpacked layers.
func (p *pour) takeLayer(ctx context.Context, name string, h *tar.Header, r io.Reader) error {
	if _, twice := p.files[name]; twice {
		return &archiveError{fmt.Sprintf("the archive has %q twice", name)}
	}
	if h.Typeflag == tar.TypeSymlink { // to a layer that the image has twice
		return nil
	}
	whole, isLarge, head, err := peek(h, r)
	if err != nil {
		return err
	}
	if !isLarge {
		e, err := p.hold(name, h.Size, whole)
		if err == nil && e.digest == p.id {
			p.config = e
		}
		return err
	}
	p.files[name] = entry{size: h.Size}
	label := v1.Descriptor{MediaType: types.DockerLayer, Size: h.Size}
	if id, ok := p.guess(name); ok {
		if _, has := p.blobs[id]; has {
			return nil
		}
		label.Digest = id
	} else if label.Digest, _, err = v1.SHA256(strings.NewReader(name)); err != nil {
		return err
	}
	encode := p.compress
	switch {
	case isGzip(head):
		encode = p.asItCame
	case compressed(head):
		return &archiveError{fmt.Sprintf("layer %.200q is neither a tar nor gzip", name)}
	}
	var diff v1.Hash
	desc, err := p.to.Stream(ctx, label, whole, func(w io.Writer, src io.Reader) (v1.Descriptor, error) {
		e, err := encode(w, src)
		diff = e.diff
		return v1.Descriptor{MediaType: types.DockerLayer, Size: e.size, Digest: e.digest}, err
	})
	if err != nil {
		return err
	}
	p.found(diff, desc)
	_ = p.engine.o.Layers.Add(map[v1.Hash]v1.Descriptor{diff: desc})
	return nil
}

// peek tells large files that are no documents from those to be held.
func peek(h *tar.Header, r io.Reader) (whole io.Reader, large bool, head []byte, err error) {
	head = make([]byte, min(512, h.Size))
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, false, nil, err
	}
	large = h.Size > small && (h.Size > maxJSON || !isJSON(head))
	return io.MultiReader(bytes.NewReader(head), r), large, head, nil
}

func (p *pour) compress(w io.Writer, src io.Reader) (entry, error) { return compress(w, src, p.buffer) }

// asItCame passes on a layer that is gzip already.
func (p *pour) asItCame(w io.Writer, src io.Reader) (entry, error) {
	e := entry{gzip: true}
	outer, inner := sha256.New(), sha256.New()
	through := io.TeeReader(src, io.MultiWriter(w, outer, (*sized)(&e.size)))
	z, err := gzip.NewReader(through)
	if err != nil {
		return e, err
	}
	if _, err := io.CopyBuffer(inner, struct{ io.Reader }{z}, p.buffer); err != nil {
		return e, err
	}
	e.digest, e.diff = hashOf(outer), hashOf(inner)
	return e, nil
}

// guess is the diff ID of the layer in a file, by its name. The engine tells it
// so; a wrong one costs bytes, and is found out at the end.
func (p *pour) guess(name string) (v1.Hash, bool) {
	dir, base := path.Split(name)
	if base == "layer.tar" {
		id := strings.TrimSuffix(dir, "/")
		return legacyLayer(id, p.files[id+"/json"].data, p.layers)
	}
	id := v1.Hash{Algorithm: "sha256", Hex: strings.TrimSuffix(base, ".tar")} // Podman; Docker from 25 on
	return id, slices.Contains(p.layers, id)
}

// enough says whether nothing is wanted of what comes.
func (p *pour) enough() bool {
	if p.config.data == nil {
		return false
	}
	ids, err := configDiffIDs(p.config.data)
	return err == nil && !slices.ContainsFunc(ids, func(id v1.Hash) bool { return p.blobs[id].Size == 0 })
}

// made is the image of what was sent and what is held.
func (p *pour) made() (*saved, error) {
	if p.config.data == nil {
		return nil, &archiveError{"the archive has no config " + p.id.String()}
	}
	ids, err := configDiffIDs(p.config.data)
	if err != nil {
		return nil, err
	}
	sv := p.saved()
	config := sv.add(types.DockerConfigJSON, p.config)
	for _, id := range ids {
		if _, ok := p.blobs[id]; ok {
			continue
		}
		e, err := p.smallLayer(id, ids)
		if err != nil {
			return nil, err
		}
		p.found(id, sv.add(types.DockerLayer, e))
	}
	fresh := map[v1.Hash]v1.Descriptor{p.id: config}
	for _, id := range ids {
		fresh[id] = p.blobs[id]
	}
	_ = p.engine.o.Layers.Add(fresh)
	return sv, sv.makeRoot(config, p.descriptors(ids))
}

// smallLayer is one of the layers of the image, all, that is in memory, as gzip.
func (p *pour) smallLayer(id v1.Hash, all []v1.Hash) (entry, error) {
	for _, e := range p.files {
		if e.data == nil {
			continue
		}
		var b bytes.Buffer
		encode := func(src io.Reader) (entry, error) { return p.compress(&b, src) }
		if isGzip(e.data) {
			encode = func(src io.Reader) (entry, error) { return p.asItCame(&b, src) }
		} else if e.digest != id {
			continue
		}
		made, err := encode(bytes.NewReader(e.data))
		if err == nil && made.diff == id {
			made.data = b.Bytes()
			return made, nil
		}
	}
	for diff := range p.blobs {
		if !slices.Contains(all, diff) {
			return entry{}, &transfer.DigestError{What: "layer", Want: id, Got: diff}
		}
	}
	return entry{}, &archiveError{"the archive has no layer " + id.String()}
}

// blobsAsKept pours an image that the engine keeps as it came.
func (p *pour) blobsAsKept(ctx context.Context) (*saved, error) {
	own, err := p.engine.Platform(ctx)
	if err != nil {
		return nil, err
	}
	err = p.engine.saving(ctx, p.image, func(ctx context.Context, r io.Reader) error {
		return eachFile(ctx, r, func(name string, h *tar.Header, r io.Reader) (bool, error) {
			return false, p.takeBlob(ctx, name, h, r)
		})
	})
	if err != nil {
		return nil, err
	}
	sv := p.saved()
	return sv, sv.readLayout(p.image, own)
}

// takeBlob takes a file of an OCI layout.
func (p *pour) takeBlob(ctx context.Context, name string, h *tar.Header, r io.Reader) error {
	if _, twice := p.files[name]; twice || h.Typeflag == tar.TypeSymlink {
		return &archiveError{fmt.Sprintf("the archive has %q twice, or as a link", name)}
	}
	whole, isLarge, _, err := peek(h, r)
	if err != nil {
		return err
	}
	if !isLarge {
		_, err := p.hold(name, h.Size, whole)
		return err
	}
	digest, ok := blobDigest(name)
	if !ok {
		return nil // no part of the image
	}
	desc := v1.Descriptor{MediaType: types.OCILayer, Size: h.Size, Digest: digest}
	p.files[name] = entry{size: h.Size, digest: digest}
	if has, err := p.to.Has(ctx, desc); err != nil || has {
		return err
	}
	_, err = p.to.Stream(ctx, desc, whole, func(w io.Writer, src io.Reader) (v1.Descriptor, error) {
		v, err := transfer.Verify(io.NopCloser(src), desc)
		if err != nil {
			return desc, err
		}
		_, err = io.CopyBuffer(w, struct{ io.Reader }{v}, p.buffer)
		return desc, err
	})
	return err
}

// blobDigest is the digest that a file of an OCI layout is called after.
func blobDigest(name string) (v1.Hash, bool) {
	rest, ok := strings.CutPrefix(name, blobFolder+"/")
	if !ok {
		return v1.Hash{}, false
	}
	h, err := v1.NewHash(strings.Replace(rest, "/", ":", 1))
	return h, err == nil
}
