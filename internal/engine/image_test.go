package engine_test

import (
	"bytes"
	"encoding/json"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/gzip"

	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

var (
	layerTar  = transfertest.LayerTar
	gzipped   = transfertest.Gzipped
	zstded    = transfertest.Zstded
	realImage = transfertest.RealImage
)

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// app is an image with a layer that is larger than every buffer, and an empty
// layer twice.
func app(tb testing.TB, seed byte) *transfertest.Source {
	tb.Helper()
	c := transfertest.Content{}
	empty := layerTar(tb, "", nil)
	root := realImage(tb, c, transfertest.Amd64(), layerTar(tb, "hello", transfertest.Bytes(seed, 1<<20+11)), empty, empty)
	return &transfertest.Source{Root: root, Content: c}
}

// read takes everything out of a source.
func read(tb testing.TB, src transfer.Source) (transfer.Result, *transfertest.Sink) {
	tb.Helper()
	out := &transfertest.Sink{}
	res, err := transfer.Copy(tb.Context(), src, out, transfer.Options{})
	must(tb, err)
	return res, out
}

// layersOf are the plain layers of an image that was read, in order.
func layersOf(tb testing.TB, res transfer.Result, out *transfertest.Sink) []v1.Hash {
	tb.Helper()
	var m v1.Manifest
	must(tb, json.Unmarshal(out.Content[res.Root.Digest], &m))
	var all []v1.Hash
	for _, l := range m.Layers {
		z, err := gzip.NewReader(bytes.NewReader(out.Content[l.Digest]))
		must(tb, err)
		h, _, err := v1.SHA256(z)
		must(tb, err)
		all = append(all, h)
	}
	return all
}
