package transfer_test

import (
	"errors"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

func TestNothingIsAskedForTwice(t *testing.T) {
	t.Parallel()
	c := transfertest.Content{}
	layer := c.Layer([]byte("layer"))
	src := &transfertest.Source{Root: c.Image(transfertest.Amd64(), layer), Content: c}
	kept := transfer.Keep(src)
	for range 2 {
		desc, err := kept.Resolve(t.Context())
		if err != nil || desc.Digest != src.Root.Digest {
			t.Fatalf("%v, %v", desc, err)
		}
		if raw, err := kept.Manifest(t.Context(), desc); err != nil || string(raw) != string(c[desc.Digest]) {
			t.Fatalf("%s, %v", raw, err)
		}
		src.Root = v1.Descriptor{Digest: src.Root.Digest, Size: src.Root.Size, MediaType: src.Root.MediaType}
	}
	if n := len(src.Manifests()); n != 1 {
		t.Errorf("asked %d times", n)
	}
	none := &transfertest.Source{Content: c}
	kept = transfer.Keep(none)
	if _, err := kept.Resolve(t.Context()); !errors.Is(err, transfer.ErrNotFound) {
		t.Error(err)
	}
	none.Root = src.Root // a failure is not kept
	if _, err := kept.Resolve(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestNamed(t *testing.T) {
	t.Parallel()
	c := transfertest.Content{}
	layer := c.Layer([]byte("layer"))
	image := c.Image(transfertest.Amd64(), layer)
	index := c.Index(image)
	manifests, blobs, err := transfer.Named(image, c[image.Digest])
	if err != nil || len(manifests) != 0 || len(blobs) != 2 || blobs[1].Digest != layer.Digest {
		t.Errorf("%v, %v, %v", manifests, blobs, err)
	}
	manifests, blobs, err = transfer.Named(index, c[index.Digest])
	if err != nil || len(manifests) != 1 || manifests[0].Digest != image.Digest || len(blobs) != 0 {
		t.Errorf("%v, %v, %v", manifests, blobs, err)
	}
	if _, _, err := transfer.Named(image, c[index.Digest]); err == nil {
		t.Error("other bytes were taken")
	}
	if _, _, err := transfer.Named(layer, c[layer.Digest]); err == nil {
		t.Error("a layer was taken for a manifest")
	}
	if _, _, err := transfer.Named(v1.Descriptor{}, nil); err == nil {
		t.Error("nothing was taken for a manifest")
	}
}
