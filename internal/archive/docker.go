package archive

import (
	"context"
	"encoding/json"
	"errors"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/vicr-cli/vicr/internal/transfer"
)

// dockerImage is one image in manifest.json.
type dockerImage struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// A layer is one of an image in Docker's own format, as gzip.
type layer struct {
	extent
	Packed
}

// fromDocker makes the image that Docker's own list names.
func (a *Archive) fromDocker(ctx context.Context, item *dockerImage) (*Image, error) {
	raw, err := a.document(item.Config)
	if err != nil {
		return nil, err
	}
	ids, err := DiffIDs(raw)
	if err != nil {
		return nil, a.bad("%v", err)
	}
	if len(ids) != len(item.Layers) {
		return nil, a.bad("the image has %d layers, but its config names %d", len(item.Layers), len(ids))
	}
	i := a.NewImage()
	config := i.Add(types.DockerConfigJSON, raw)
	var layers []v1.Descriptor
	for n, name := range item.Layers {
		l, err := a.layer(ctx, name)
		if err != nil {
			return nil, err
		}
		if l.Diff != ids[n] {
			return nil, &transfer.DigestError{What: "layer", Want: ids[n], Got: l.Diff}
		}
		layers = append(layers, i.add(types.DockerLayer, l.Digest, l.extent))
	}
	return i, i.Seal(config, layers)
}

// DiffIDs are the layers that the config of an image names, from the lowest up.
func DiffIDs(config []byte) ([]v1.Hash, error) {
	var c struct {
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
	}
	if err := json.Unmarshal(config, &c); err != nil {
		return nil, errors.New("the config of the image cannot be read")
	}
	var ids []v1.Hash
	for _, text := range c.RootFS.DiffIDs {
		h, err := v1.NewHash(text)
		if err != nil {
			return nil, errors.New("the config of the image names a layer without a usable digest")
		}
		ids = append(ids, h)
	}
	return ids, nil
}

// layer finds a layer as gzip. What is gzip already stays where it lies.
func (a *Archive) layer(ctx context.Context, name string) (layer, error) {
	e, ok := a.files.find(name)
	if !ok || e.in == nil {
		return layer{}, a.bad("it has no layer %.200q", name)
	}
	if known, ok := a.layers[e]; ok {
		return known, nil
	}
	head := make([]byte, min(headSize, e.size))
	if _, err := io.ReadFull(e.from(0), head); err != nil {
		return layer{}, a.broken(err)
	}
	l, err := layer{extent: e}, error(nil)
	if compression(head) == gzipped {
		l.Packed, err = a.Pack(ctx, io.Discard, e.from(0))
	} else {
		l, err = a.pack(ctx, e.from(0))
	}
	if err == nil {
		a.layers[e] = l
	}
	return l, err
}

// pack puts a layer into the scratch file as gzip.
func (a *Archive) pack(ctx context.Context, r io.Reader) (l layer, err error) {
	l.extent, err = a.kept(func(w io.Writer) error {
		l.Packed, err = a.Pack(ctx, w, r)
		return err
	})
	return l, err
}
