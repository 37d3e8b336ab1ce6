package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/pgzip"

	"github.com/vicr-cli/vicr/internal/transfer"
)

const (
	// How plain layers are compressed, the same as those that come out of an
	// engine: the digests of layers hang on these.
	gzipLevel = 6
	gzipBlock = 1 << 20 // bytes compressed at a time

	gzipAhead = 4 // blocks under way, which bounds the memory; without effect on the bytes
)

// dockerImage is one image in manifest.json.
type dockerImage struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// A layer is one of an image in Docker's own format, compressed.
type layer struct {
	extent
	digest v1.Hash
	diff   v1.Hash // as a plain tar
}

// fromDocker makes the image that Docker's own list names. Its manifest is made
// here, in the format that the oldest registries list: Docker's, schema 2.
func (a *Archive) fromDocker(ctx context.Context, item *dockerImage) (*image, error) {
	raw, err := a.document(item.Config)
	if err != nil {
		return nil, err
	}
	var config struct {
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
	}
	if err := json.Unmarshal(raw, &config); err != nil {
		return nil, a.bad("the config of the image cannot be read")
	}
	diffIDs := config.RootFS.DiffIDs
	if len(diffIDs) != len(item.Layers) {
		return nil, a.bad("the image has %d layers, but its config names %d", len(item.Layers), len(diffIDs))
	}
	m := v1.Manifest{SchemaVersion: 2, MediaType: types.DockerManifestSchema2, Layers: []v1.Descriptor{}}
	i := &image{manifests: map[v1.Hash][]byte{}, blobs: map[v1.Hash]extent{}}
	m.Config = i.add(types.DockerConfigJSON, layer{extent: extent{in: bytes.NewReader(raw), size: int64(len(raw))}, digest: sum(raw)})
	for n, name := range item.Layers {
		want, err := v1.NewHash(diffIDs[n])
		if err != nil {
			return nil, a.bad("the config of the image names a layer without a usable digest")
		}
		l, err := a.layer(ctx, name)
		if err != nil {
			return nil, err
		}
		if l.diff != want {
			return nil, &transfer.DigestError{What: "layer", Want: want, Got: l.diff}
		}
		m.Layers = append(m.Layers, i.add(types.DockerLayer, l))
	}
	data, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	i.root = v1.Descriptor{MediaType: m.MediaType, Size: int64(len(data)), Digest: sum(data)}
	i.manifests[i.root.Digest] = data
	return i, nil
}

func (i *image) add(t types.MediaType, l layer) v1.Descriptor {
	i.blobs[l.digest] = l.extent
	return v1.Descriptor{MediaType: t, Size: l.size, Digest: l.digest}
}

// layer finds a layer as gzip and what its digest is as a plain tar.
func (a *Archive) layer(ctx context.Context, name string) (layer, error) {
	e, ok := a.files.find(name)
	if !ok {
		return layer{}, a.bad("it has no layer %.200q", name)
	}
	if known, ok := a.layers[e.at]; ok {
		return known, nil
	}
	head := make([]byte, min(headSize, e.size))
	if _, err := io.ReadFull(e.from(0), head); err != nil {
		return layer{}, a.broken(err)
	}
	var l layer
	var err error
	switch other := otherCompression(head); {
	case isGzip(head):
		l, err = a.measure(ctx, e)
	case isZstd(head), other != "" && !isTar(head):
		return layer{}, a.bad("layer %.200q in it is neither a tar nor gzip", name)
	default:
		l, err = a.compress(ctx, e)
	}
	if err == nil {
		a.layers[e.at] = l
	}
	return l, err
}

// measure finds the digests of a layer that is compressed already. What it grows
// to is hashed and kept nowhere.
func (a *Archive) measure(ctx context.Context, e extent) (layer, error) {
	outer, inner := sha256.New(), sha256.New()
	in := &source{r: io.TeeReader(e.from(0), outer)}
	z, err := gzip.NewReader(in)
	if err != nil {
		return layer{}, a.broken(err)
	}
	reading, _ := pour(ctx, inner, &bound{r: z, in: in, archive: a}) // a hash takes everything
	if reading == nil {
		reading, _ = pour(ctx, io.Discard, in) // what follows the stream is in the digest too
	}
	var ours *Error
	switch {
	case errors.As(reading, &ours) || ctx.Err() != nil || in.err != nil:
		return layer{}, reading
	case reading != nil:
		return layer{}, a.broken(reading)
	}
	return layer{extent: e, digest: hashOf(outer), diff: hashOf(inner)}, nil
}

// compress puts a layer into a scratch file as gzip, the same bytes for the same
// bytes.
func (a *Archive) compress(ctx context.Context, e extent) (layer, error) {
	if a.packed == nil {
		s, err := a.scratch()
		if err != nil {
			return layer{}, err
		}
		a.packed = s
	}
	at := a.packed.Size()
	outer, inner := sha256.New(), sha256.New()
	z, err := pgzip.NewWriterLevel(io.MultiWriter(a.packed, outer), gzipLevel)
	if err != nil {
		return layer{}, err
	}
	if err := z.SetConcurrency(gzipBlock, gzipAhead); err != nil {
		return layer{}, err
	}
	reading, writing := pour(ctx, io.MultiWriter(z, inner), e.from(0))
	// Closed in any case: it has goroutines.
	if err := errors.Join(reading, writing, z.Close()); err != nil {
		return layer{}, err
	}
	return layer{extent: extent{in: a.packed, at: at, size: a.packed.Size() - at}, digest: hashOf(outer), diff: hashOf(inner)}, nil
}

func hashOf(h hash.Hash) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}
}

func sum(data []byte) v1.Hash {
	h := sha256.Sum256(data)
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h[:])}
}
