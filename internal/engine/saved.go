package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/vicr-cli/vicr/internal/transfer"
)

// An archive is what a save stream held, in a scratch file or in memory.
type archive interface {
	find(name string) (entry, bool)
	document(name string) ([]byte, error)
	open(e entry, offset int64) io.Reader
	Close() error
}

// A saved image is what a save stream held.
type saved struct {
	archive   archive
	root      v1.Descriptor
	manifests map[v1.Hash][]byte
	blobs     map[v1.Hash]entry
}

// readDocker reads an archive in docker's own format, from engines that keep
// layers unpacked. The manifest is made here, in the format that the oldest
// registries list: Docker's, schema 2.
func (s *saved) readDocker(image string, sp *spool) error {
	item, err := s.dockerImage(image)
	if err != nil {
		return err
	}
	raw, err := sp.document(item.Config)
	if err != nil {
		return err
	}
	diffIDs, err := configDiffIDs(raw)
	if err != nil {
		return err
	}
	if len(diffIDs) != len(item.Layers) {
		return &archiveError{fmt.Sprintf("the image has %d layers, but its config names %d", len(item.Layers), len(diffIDs))}
	}
	e, _ := sp.find(item.Config)
	config := s.add(types.DockerConfigJSON, e)
	var layers []v1.Descriptor
	for i, name := range item.Layers {
		l, err := sp.layer(name)
		if err != nil {
			return err
		}
		if l.diff != diffIDs[i] {
			return &transfer.DigestError{What: "layer", Want: diffIDs[i], Got: l.diff}
		}
		layers = append(layers, s.add(types.DockerLayer, l))
	}
	return s.makeRoot(config, layers)
}

// configDiffIDs are the layers that the config of an image names.
func configDiffIDs(raw []byte) ([]v1.Hash, error) {
	var config struct {
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
	}
	if err := json.Unmarshal(raw, &config); err != nil {
		return nil, &archiveError{"the config of the image cannot be read"}
	}
	var ids []v1.Hash
	for _, text := range config.RootFS.DiffIDs {
		h, err := v1.NewHash(text)
		if err != nil {
			return nil, &archiveError{"the config of the image names a layer without a usable digest"}
		}
		ids = append(ids, h)
	}
	return ids, nil
}

// dockerImage finds the image in manifest.json.
func (s *saved) dockerImage(image string) (dockerImage, error) {
	raw, err := s.archive.document(manifestFile)
	if err != nil {
		return dockerImage{}, err
	}
	var items []dockerImage
	if err := json.Unmarshal(raw, &items); err != nil {
		return dockerImage{}, &archiveError{manifestFile + " cannot be read"}
	}
	if len(items) == 1 {
		return items[0], nil
	}
	for _, item := range items {
		if slices.ContainsFunc(item.RepoTags, func(tag string) bool { return sameName(tag, image) }) {
			return item, nil
		}
	}
	return dockerImage{}, &archiveError{fmt.Sprintf("it holds %d images, and none of this name", len(items))}
}

// sameName says whether two names of images, short or full, are one.
func sameName(a, b string) bool {
	a, _, errA := taggedName(a)
	b, _, errB := taggedName(b)
	return errA == nil && errB == nil && a == b && a != ""
}

func (s *saved) add(t types.MediaType, e entry) v1.Descriptor {
	s.blobs[e.digest] = e
	return v1.Descriptor{MediaType: t, Size: e.size, Digest: e.digest}
}

// makeRoot makes the manifest of an image whose layers were compressed here.
func (s *saved) makeRoot(config v1.Descriptor, layers []v1.Descriptor) error {
	m := v1.Manifest{
		SchemaVersion: 2, MediaType: types.DockerManifestSchema2, Config: config, Layers: append([]v1.Descriptor{}, layers...),
	}
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	h, size, err := v1.SHA256(bytes.NewReader(data))
	if err != nil {
		return err
	}
	s.root = v1.Descriptor{MediaType: m.MediaType, Size: size, Digest: h}
	s.manifests[h] = data
	return nil
}
