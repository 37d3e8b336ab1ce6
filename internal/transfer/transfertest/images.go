package transfertest

import (
	"archive/tar"
	"bytes"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// LayerTar is a plain layer with one file; no files if data is nil.
func LayerTar(tb testing.TB, name string, data []byte) []byte {
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

// Gzipped is data in gzip.
func Gzipped(tb testing.TB, data []byte) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(data)
	must(tb, err)
	must(tb, w.Close())
	return b.Bytes()
}

// Zstded is data in zstd.
func Zstded(tb testing.TB, data []byte) []byte {
	tb.Helper()
	w, err := zstd.NewWriter(nil)
	must(tb, err)
	packed := w.EncodeAll(data, nil)
	must(tb, w.Close())
	return packed
}

// RealImage makes an image that an engine takes, of plain layers.
func RealImage(tb testing.TB, c Content, p v1.Platform, layers ...[]byte) v1.Descriptor {
	tb.Helper()
	var diffIDs []string
	var history []any
	m := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Layers: []v1.Descriptor{}}
	for _, l := range layers {
		diffIDs = append(diffIDs, DescriptorOf("sha256", "", l).Digest.String())
		history = append(history, map[string]string{"created_by": "test"})
		m.Layers = append(m.Layers, c.Add(types.OCILayer, Gzipped(tb, l)))
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

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
