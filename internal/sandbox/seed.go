package sandbox

import (
	"fmt"
	"io"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// seed puts the hello image where the projects say: the index, or docker's
// form of the first image in it.
func (s *site) seed(projects []Project) error {
	index, err := HelloIndex()
	if err != nil {
		return err
	}
	list, err := index.IndexManifest()
	if err != nil {
		return err
	}
	for _, p := range projects {
		for _, image := range p.Images {
			name, tag, ok := strings.Cut(image, ":")
			if !ok {
				return fmt.Errorf("image %q of project %s: no tag", image, p.Name)
			}
			repo := p.Name + "/" + name
			if s.gen.schema2 {
				err = s.seedSchema2(repo, tag, index, list.Manifests[0])
			} else {
				err = s.seedIndex(repo, tag, index, list.Manifests)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *site) seedIndex(repo, tag string, index v1.ImageIndex, images []v1.Descriptor) error {
	for _, d := range images {
		image, err := index.Image(d.Digest)
		if err != nil {
			return err
		}
		if err := s.seedImage(repo, d.Digest.String(), image); err != nil {
			return err
		}
	}
	raw, err := index.RawManifest()
	if err != nil {
		return err
	}
	s.manifests.put(repo, tag, types.OCIImageIndex, raw, true)
	return nil
}

// seedSchema2 makes docker's form of an image, the only one that Harbor 1.x knows.
func (s *site) seedSchema2(repo, tag string, index v1.ImageIndex, d v1.Descriptor) error {
	image, err := index.Image(d.Digest)
	if err != nil {
		return err
	}
	layers, err := image.Layers()
	if err != nil {
		return err
	}
	old := mutate.MediaType(empty.Image, types.DockerManifestSchema2)
	for _, l := range layers {
		if old, err = mutate.Append(old, mutate.Addendum{Layer: l, MediaType: types.DockerLayer}); err != nil {
			return err
		}
	}
	config, err := image.ConfigFile()
	if err != nil {
		return err
	}
	if old, err = mutate.ConfigFile(old, config); err != nil {
		return err
	}
	return s.seedImage(repo, tag, mutate.ConfigMediaType(old, types.DockerConfigJSON))
}

func (s *site) seedImage(repo, ref string, image v1.Image) error {
	config, err := image.RawConfigFile()
	if err != nil {
		return err
	}
	blobs := []io.ReadCloser{reader(config)}
	layers, err := image.Layers()
	if err != nil {
		return err
	}
	for _, l := range layers {
		packed, err := l.Compressed()
		if err != nil {
			return err
		}
		blobs = append(blobs, packed)
	}
	for _, b := range blobs {
		bytes := newSpool(s.blobs.dir)
		if _, err := io.Copy(bytes, b); err != nil {
			return err
		}
		if err := s.blobs.add(repo, bytes); err != nil {
			return err
		}
	}
	raw, err := image.RawManifest()
	if err != nil {
		return err
	}
	mediaType, err := image.MediaType()
	if err != nil {
		return err
	}
	s.manifests.put(repo, ref, mediaType, raw, true)
	return nil
}
