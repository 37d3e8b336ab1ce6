//go:build linux

package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/pgzip"
)

// An image of the benchmark: layers of so many bytes before compression, of
// which gzip leaves about half. Layers with the same seed are the same.
type image struct {
	name   string
	layers []layer
}

type layer struct {
	seed uint64
	size int64 // bytes
}

func layers(seed uint64, count int, size int64) []layer {
	all := make([]layer, count)
	for i := range all {
		all[i] = layer{seed + uint64(i), size}
	}
	return all
}

const mib = 1 << 20

// The batch are tags of one repository, as a release has them.
const batchSize = 50

func batchTags() []string {
	tags := make([]string, batchSize)
	for i := range tags {
		tags[i] = fmt.Sprintf("t%02d", i)
	}
	return tags
}

// batch are images that share the fleet's seven layers and have a small one of
// their own.
func batch() []image {
	all := make([]image, batchSize)
	for i, tag := range batchTags() {
		all[i] = image{tag, append(layers(400, 7, 12*mib), layer{600 + uint64(i), mib})}
	}
	return all
}

// images are those of the measured peers' tables: a few KB in 3 layers, 60
// layers, a usual size and another one that shares seven of its eight layers,
// one large layer, and a fleet of which two share seven of eight layers.
func images() []image {
	fleet := layers(400, 7, 12*mib)
	return []image{
		{"tiny", layers(1, 3, 2048)},
		{"many", layers(100, 60, 17*mib/4)},
		{"typical", layers(200, 8, 78*mib)},
		{"next", append(layers(200, 7, 78*mib), layer{250, 78 * mib})},
		{"big", layers(300, 1, 1060*mib)},
		{"fleet0", append(fleet[:7:7], layer{500, 12 * mib})},
		{"fleet1", append(fleet[:7:7], layer{501, 12 * mib})},
	}
}

// writeImages makes all images, each as a layout of its own in dir.
func writeImages(dir string) error {
	for _, img := range images() {
		if err := writeLayout(filepath.Join(dir, img.name), img); err != nil {
			return err
		}
	}
	for _, img := range batch() {
		if err := writeLayout(filepath.Join(dir, "batch", img.name), img); err != nil {
			return err
		}
	}
	return nil
}

// writeLayout makes an image as an OCI layout, with its name as its tag. An
// image that is there is left.
func writeLayout(dir string, img image) error {
	if _, err := os.Stat(filepath.Join(dir, "index.json")); err == nil {
		return nil
	}
	blobs := filepath.Join(dir, "blobs", "sha256")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		return err
	}
	m := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Layers: []v1.Descriptor{}}
	config := v1.ConfigFile{Architecture: "amd64", OS: "linux", RootFS: v1.RootFS{Type: "layers"}}
	for _, l := range img.layers {
		desc, diffID, err := writeLayer(blobs, l)
		if err != nil {
			return err
		}
		m.Layers = append(m.Layers, desc)
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, diffID)
		config.History = append(config.History, v1.History{CreatedBy: "bench"})
	}
	var err error
	if m.Config, err = writeJSON(blobs, types.OCIConfigJSON, config); err != nil {
		return err
	}
	root, err := writeJSON(blobs, types.OCIManifestSchema1, m)
	if err != nil {
		return err
	}
	root.Annotations = map[string]string{"org.opencontainers.image.ref.name": img.name}
	root.Platform = &v1.Platform{OS: "linux", Architecture: "amd64"}
	index, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, Manifests: []v1.Descriptor{root}})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "index.json"), index, 0o644)
}

func writeJSON(blobs string, t types.MediaType, document any) (v1.Descriptor, error) {
	raw, err := json.Marshal(document)
	if err != nil {
		return v1.Descriptor{}, err
	}
	h, size, err := v1.SHA256(bytes.NewReader(raw))
	if err != nil {
		return v1.Descriptor{}, err
	}
	return v1.Descriptor{MediaType: t, Digest: h, Size: size}, os.WriteFile(filepath.Join(blobs, h.Hex), raw, 0o644)
}

// writeLayer makes a tar with one file, compressed.
func writeLayer(blobs string, l layer) (desc v1.Descriptor, diffID v1.Hash, err error) {
	temp := filepath.Join(blobs, fmt.Sprintf("layer-%d", l.seed))
	f, err := os.Create(temp)
	if err != nil {
		return desc, diffID, err
	}
	defer f.Close()
	inner, outer := sha256.New(), sha256.New()
	z := pgzip.NewWriter(io.MultiWriter(f, outer))
	if err := writeTar(io.MultiWriter(z, inner), l); err != nil {
		return desc, diffID, err
	}
	if err := z.Close(); err != nil {
		return desc, diffID, err
	}
	size, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return desc, diffID, err
	}
	hash := func(sum []byte) v1.Hash { return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum)} }
	desc = v1.Descriptor{MediaType: types.OCILayer, Digest: hash(outer.Sum(nil)), Size: size}
	return desc, hash(inner.Sum(nil)), os.Rename(temp, filepath.Join(blobs, desc.Digest.Hex))
}

func writeTar(w io.Writer, l layer) error {
	t := tar.NewWriter(w)
	h := &tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprintf("data-%d", l.seed), Size: l.size, Mode: 0o644, ModTime: time.Unix(0, 0)}
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	if _, err := io.CopyN(t, newHalf(l.seed), l.size); err != nil {
		return err
	}
	return t.Close()
}

// half gives bytes of which every second 64 are random and the others come
// from a text, the same ones for the same seed.
type half struct {
	random *rand.ChaCha8
	n      int
}

func newHalf(seed uint64) *half {
	var key [32]byte
	copy(key[:], fmt.Sprint("vicr ", seed))
	return &half{random: rand.NewChaCha8(key)}
}

const halfBlock = 64

var text = bytes.Repeat([]byte("a registry, an image, its manifest and its layers and a digest. "), 1)

func (h *half) Read(p []byte) (int, error) {
	n := 0
	for n+halfBlock <= len(p) {
		if h.n%2 == 0 {
			_, _ = h.random.Read(p[n : n+halfBlock]) // never fails
		} else {
			copy(p[n:n+halfBlock], text)
		}
		h.n++
		n += halfBlock
	}
	if n == 0 { // a short buffer: give less than a block, from the text
		n = copy(p, text)
	}
	return n, nil
}
