package engine_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"

	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// layerTar is a plain layer with one file; no files if data is nil.
func layerTar(tb testing.TB, name string, data []byte) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if data != nil {
		must(tb, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(data)), Mode: 0o755}))
		_, err := w.Write(data)
		must(tb, err)
	}
	must(tb, w.Close())
	return b.Bytes()
}

func gzipped(tb testing.TB, data []byte) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(data)
	must(tb, err)
	must(tb, w.Close())
	return b.Bytes()
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// realImage makes an image that an engine takes, of plain layers.
func realImage(tb testing.TB, c transfertest.Content, p v1.Platform, layers ...[]byte) v1.Descriptor {
	tb.Helper()
	var diffIDs []string
	var history []any
	m := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Layers: []v1.Descriptor{}}
	for _, l := range layers {
		diffIDs = append(diffIDs, transfertest.DescriptorOf("sha256", "", l).Digest.String())
		history = append(history, map[string]string{"created_by": "test"})
		m.Layers = append(m.Layers, c.Add(types.OCILayer, gzipped(tb, l)))
	}
	m.Config = c.AddJSON(types.OCIConfigJSON, map[string]any{
		"architecture": p.Architecture, "os": p.OS, "history": history,
		"config": map[string]any{"Cmd": []string{"/hello"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": diffIDs},
	})
	d := c.AddJSON(types.OCIManifestSchema1, m)
	d.Platform = &p
	return d
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
