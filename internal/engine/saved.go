package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/vicr-cli/vicr/internal/transfer"
)

// A saved image is what a save stream held.
type saved struct {
	spool     *spool
	root      v1.Descriptor
	manifests map[v1.Hash][]byte
	blobs     map[v1.Hash]entry
}

// readDocker reads an archive in docker's own format, from engines that keep
// layers unpacked. The manifest is made here, in the format that the oldest
// registries list: Docker's, schema 2.
func (s *saved) readDocker(image string) error {
	item, err := s.dockerImage(image)
	if err != nil {
		return err
	}
	raw, err := s.spool.document(item.Config)
	if err != nil {
		return err
	}
	var config struct {
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
	}
	if err := json.Unmarshal(raw, &config); err != nil {
		return &archiveError{"the config of the image cannot be read"}
	}
	diffIDs := config.RootFS.DiffIDs
	if len(diffIDs) != len(item.Layers) {
		return &archiveError{fmt.Sprintf("the image has %d layers, but its config names %d", len(item.Layers), len(diffIDs))}
	}
	e, _ := s.spool.find(item.Config)
	m := v1.Manifest{
		SchemaVersion: 2,
		MediaType:     types.DockerManifestSchema2,
		Config:        s.add(types.DockerConfigJSON, e),
		Layers:        []v1.Descriptor{},
	}
	for i, name := range item.Layers {
		l, err := s.layer(name, diffIDs[i])
		if err != nil {
			return err
		}
		m.Layers = append(m.Layers, s.add(types.DockerLayer, l))
	}
	return s.addRoot(m)
}

// dockerImage finds the image in manifest.json.
func (s *saved) dockerImage(image string) (dockerImage, error) {
	raw, err := s.spool.document(manifestFile)
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

// layer finds a layer and holds it against the digest that the config has of
// it as a plain tar.
func (s *saved) layer(name, diffID string) (entry, error) {
	want, err := v1.NewHash(diffID)
	if err != nil {
		return entry{}, &archiveError{"the config of the image names a layer without a usable digest"}
	}
	l, err := s.spool.layer(name)
	if err == nil && l.diff != want {
		err = &transfer.DigestError{What: "layer", Want: want, Got: l.diff}
	}
	return l, err
}

func (s *saved) add(t types.MediaType, e entry) v1.Descriptor {
	s.blobs[e.digest] = e
	return v1.Descriptor{MediaType: t, Size: e.size, Digest: e.digest}
}

func (s *saved) addRoot(m v1.Manifest) error {
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
