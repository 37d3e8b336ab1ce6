package memo

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// How many facts are remembered: a large image has a hundred layers, and a
// file of twenty thousand facts has about four megabytes.
const (
	maxBlobs     = 20_000
	maxLayers    = 5_000
	maxManifests = 1_000
)

// Blobs remembers in which repositories of a registry a blob was seen: from
// there it can be mounted. A nil one remembers nothing. Two processes that
// write at the same time may lose each other's facts.
type Blobs struct{ table *table }

// OpenBlobs returns what is remembered in a folder, which may be missing; in
// none, "", nothing is. Nothing is read yet.
func OpenBlobs(dir string) *Blobs {
	if dir == "" {
		return nil
	}
	return &Blobs{newTable(dir, "blobs", maxBlobs)}
}

// Repositories are those of the registry that had the blob, the last seen first.
func (b *Blobs) Repositories(registry string, blob v1.Hash) []string {
	if b == nil {
		return nil
	}
	return b.table.values(registry + "/" + blob.String())
}

// Add remembers that the repository has the blobs. Errors are those of the file system.
func (b *Blobs) Add(registry, repository string, blobs ...v1.Hash) error {
	if b == nil {
		return nil
	}
	facts := make([]fact, len(blobs))
	for i, h := range blobs {
		facts[i] = fact{registry + "/" + h.String(), repository}
	}
	return b.table.add(facts)
}

// Layers remembers as what blob a layer was compressed before, by its diff ID.
// A nil one remembers nothing.
type Layers struct{ table *table }

// OpenLayers is [OpenBlobs] for layers.
func OpenLayers(dir string) *Layers {
	if dir == "" {
		return nil
	}
	return &Layers{newTable(dir, "layers", maxLayers)}
}

// Blobs are the blobs that hold the layer, the last seen first.
func (l *Layers) Blobs(diffID v1.Hash) []v1.Descriptor {
	if l == nil {
		return nil
	}
	return descriptors(l.table.values(diffID.String()))
}

// Add remembers the blob of each diff ID. Errors are those of the file system.
func (l *Layers) Add(blobs map[v1.Hash]v1.Descriptor) error {
	if l == nil {
		return nil
	}
	return l.table.add(factsOf(blobs))
}

// Manifests remembers as what manifest an image was pushed or pulled before, by
// the ID that an engine gives it. A nil one remembers nothing.
type Manifests struct{ table *table }

// OpenManifests is [OpenBlobs] for manifests.
func OpenManifests(dir string) *Manifests {
	if dir == "" {
		return nil
	}
	return &Manifests{newTable(dir, "manifests", maxManifests)}
}

// Of are the manifests of the image, the last seen first.
func (m *Manifests) Of(imageID string) []v1.Descriptor {
	if m == nil {
		return nil
	}
	return descriptors(m.table.values(imageID))
}

// Add remembers the manifest of an image. Errors are those of the file system.
func (m *Manifests) Add(imageID string, manifest v1.Descriptor) error {
	if m == nil {
		return nil
	}
	return m.table.add([]fact{{imageID, text(manifest)}})
}

// AddAll is Add for several images, which costs no more.
func (m *Manifests) AddAll(manifests map[string]v1.Descriptor) error {
	if m == nil {
		return nil
	}
	facts := make([]fact, 0, len(manifests))
	for _, id := range slices.Sorted(maps.Keys(manifests)) {
		facts = append(facts, fact{id, text(manifests[id])})
	}
	return m.table.add(facts)
}

func factsOf(blobs map[v1.Hash]v1.Descriptor) []fact {
	facts := make([]fact, 0, len(blobs))
	for diffID, desc := range blobs {
		facts = append(facts, fact{diffID.String(), text(desc)})
	}
	return facts
}

// text is a descriptor as a table has it: digest,size,media type.
func text(d v1.Descriptor) string {
	return d.Digest.String() + "," + strconv.FormatInt(d.Size, 10) + "," + string(d.MediaType)
}

func descriptors(texts []string) []v1.Descriptor {
	var all []v1.Descriptor
	for _, t := range texts {
		digest, rest, _ := strings.Cut(t, ",")
		size, mediaType, _ := strings.Cut(rest, ",")
		h, err := v1.NewHash(digest)
		n, failed := strconv.ParseInt(size, 10, 64)
		if err != nil || failed != nil || n < 0 || mediaType == "" {
			continue
		}
		all = append(all, v1.Descriptor{Digest: h, Size: n, MediaType: types.MediaType(mediaType)})
	}
	return all
}
