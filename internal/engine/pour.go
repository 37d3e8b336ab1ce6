package engine

import (
	"bytes"
	"context"
	"io"
	"path"
	"slices"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"

	"github.com/vicr-cli/vicr/internal/archive"
	"github.com/vicr-cli/vicr/internal/transfer"
)

var _ transfer.Pourer = (*Source)(nil)

// askJobs is how many blobs a sink is asked about at the same time.
const askJobs = 4

// A pour is one pass over the save stream of an image.
type pour struct {
	engine  *Engine
	image   string
	to      *transfer.Pouring
	archive *archive.Archive

	id     v1.Hash   // of the image: the digest of its config
	layers []v1.Hash // diff IDs from the lowest up, as the engine tells

	mu    sync.Mutex
	blobs map[v1.Hash]v1.Descriptor // that the sink has, by their diff IDs

	small  map[string]heldFile // files that are held
	config []byte              // once it has come
}

// A heldFile is a small one, which may be a layer too.
type heldFile struct {
	data   []byte
	digest v1.Hash
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
		archive: archive.Passing(inEngine(s.image)), image: s.image, to: to, engine: s.engine,
		layers: diffIDsOf(i), blobs: map[v1.Hash]v1.Descriptor{}, small: map[string]heldFile{},
	}
	var saved *archive.Image
	if asKept {
		saved, err = p.blobsAsKept(ctx)
	} else if p.id, err = v1.NewHash(i.ID); err == nil {
		saved, err = p.layersAsGzip(ctx)
	}
	if err != nil {
		return err
	}
	_ = s.engine.o.Manifests.Add(i.ID, saved.Root) // what is not remembered is done once more
	s.mu.Lock()
	defer s.mu.Unlock()
	s.archive, s.saved = p.archive, saved
	return nil
}

// layersAsGzip pours an image whose layers the engine keeps unpacked.
func (p *pour) layersAsGzip(ctx context.Context) (*archive.Image, error) {
	if err := p.ask(ctx); err != nil {
		return nil, err
	}
	if i, err := p.unread(ctx); i != nil || err != nil {
		return i, err
	}
	err := p.engine.saving(ctx, p.image, func(ctx context.Context, r io.Reader) error {
		return p.archive.Pass(ctx, r, func(f *archive.File) (bool, error) {
			err := p.takeLayer(ctx, f)
			return p.enough(), err
		})
	})
	if err != nil {
		return nil, err
	}
	return p.made(ctx)
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
func (p *pour) unread(ctx context.Context) (*archive.Image, error) {
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
		i := p.archive.NewImage()
		return i, i.Seal(config, p.descriptors(p.layers))
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
func (p *pour) takeLayer(ctx context.Context, f *archive.File) error {
	if f.Data != nil {
		digest, _, err := v1.SHA256(bytes.NewReader(f.Data))
		p.small[f.Name] = heldFile{f.Data, digest}
		if digest == p.id {
			p.config = f.Data
		}
		return err
	}
	label := v1.Descriptor{MediaType: types.DockerLayer, Size: f.Size}
	if id, ok := p.guess(f.Name); ok {
		if _, has := p.blobs[id]; has {
			return nil
		}
		label.Digest = id
	} else {
		var err error
		if label.Digest, _, err = v1.SHA256(strings.NewReader(f.Name)); err != nil {
			return err
		}
	}
	var packed archive.Packed
	desc, err := p.to.Stream(ctx, label, f, func(w io.Writer, src io.Reader) (_ v1.Descriptor, err error) {
		packed, err = p.archive.Pack(ctx, w, src)
		return v1.Descriptor{MediaType: types.DockerLayer, Size: packed.Size, Digest: packed.Digest}, err
	})
	if err != nil {
		return err
	}
	p.found(packed.Diff, desc)
	_ = p.engine.o.Layers.Add(map[v1.Hash]v1.Descriptor{packed.Diff: desc})
	return nil
}

// guess is the diff ID of the layer in a file, by its name. The engine tells it
// so; a wrong one costs bytes, and is found out at the end.
func (p *pour) guess(name string) (v1.Hash, bool) {
	dir, base := path.Split(name)
	if base == "layer.tar" {
		id := strings.TrimSuffix(dir, "/")
		return legacyLayer(id, p.small[id+"/json"].data, p.layers)
	}
	id := v1.Hash{Algorithm: "sha256", Hex: strings.TrimSuffix(base, ".tar")} // Podman; Docker from 25 on
	return id, slices.Contains(p.layers, id)
}

// enough says whether nothing is wanted of what comes.
func (p *pour) enough() bool {
	if p.config == nil {
		return false
	}
	ids, err := archive.DiffIDs(p.config)
	return err == nil && !slices.ContainsFunc(ids, func(id v1.Hash) bool { return p.blobs[id].Size == 0 })
}

// made is the image of what was sent and what is held.
func (p *pour) made(ctx context.Context) (*archive.Image, error) {
	if p.config == nil {
		return nil, &SaveError{Image: p.image, Why: "its archive has no config " + p.id.String()}
	}
	ids, err := archive.DiffIDs(p.config)
	if err != nil {
		return nil, &SaveError{Image: p.image, Why: err.Error()}
	}
	i := p.archive.NewImage()
	config := i.Add(types.DockerConfigJSON, p.config)
	for _, id := range ids {
		if _, ok := p.blobs[id]; ok {
			continue
		}
		blob, err := p.smallLayer(ctx, id, ids)
		if err != nil {
			return nil, err
		}
		p.found(id, i.Add(types.DockerLayer, blob))
	}
	fresh := map[v1.Hash]v1.Descriptor{p.id: config}
	for _, id := range ids {
		fresh[id] = p.blobs[id]
	}
	_ = p.engine.o.Layers.Add(fresh)
	return i, i.Seal(config, p.descriptors(ids))
}

// smallLayer is one of the layers of the image, all, that is held, as gzip.
func (p *pour) smallLayer(ctx context.Context, id v1.Hash, all []v1.Hash) ([]byte, error) {
	for _, f := range p.small {
		if f.digest != id && !archive.IsCompressed(f.data) {
			continue
		}
		var b bytes.Buffer
		packed, err := p.archive.Pack(ctx, &b, bytes.NewReader(f.data))
		if err == nil && packed.Diff == id {
			return b.Bytes(), nil
		}
	}
	for diff := range p.blobs {
		if !slices.Contains(all, diff) {
			return nil, &transfer.DigestError{What: "layer", Want: id, Got: diff}
		}
	}
	return nil, &SaveError{Image: p.image, Why: "its archive has no layer " + id.String()}
}

// blobsAsKept pours an image that the engine keeps as it came.
func (p *pour) blobsAsKept(ctx context.Context) (*archive.Image, error) {
	err := p.engine.saving(ctx, p.image, func(ctx context.Context, r io.Reader) error {
		return p.archive.Pass(ctx, r, func(f *archive.File) (bool, error) { return false, p.takeBlob(ctx, f) })
	})
	if err != nil {
		return nil, err
	}
	return p.engine.imageIn(ctx, p.archive, p.image)
}

// takeBlob takes a file of an OCI layout.
func (p *pour) takeBlob(ctx context.Context, f *archive.File) error {
	digest, ok := archive.BlobDigest(f.Name)
	if f.Data != nil || !ok { // it is held, or no part of the image
		return nil
	}
	desc := v1.Descriptor{MediaType: types.OCILayer, Size: f.Size, Digest: digest}
	if has, err := p.to.Has(ctx, desc); err != nil || has {
		return err
	}
	_, err := p.to.Stream(ctx, desc, f, func(w io.Writer, src io.Reader) (v1.Descriptor, error) {
		v, err := transfer.Verify(io.NopCloser(src), desc)
		if err != nil {
			return desc, err
		}
		_, err = io.CopyBuffer(w, struct{ io.Reader }{v}, make([]byte, copyBuffer))
		return desc, err
	})
	return err
}
