package engine

import (
	"encoding/json"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/transfer"
)

const (
	maxDepth     = 4        // indexes below one another
	maxManifests = 64 << 20 // bytes of all manifests of an image: they are in memory together
)

// readLayout reads an archive that is an OCI layout, from engines that keep
// manifests and blobs as they came. Such an engine may name images for
// platforms that it does not hold; then the one for its own platform is given out.
func (s *saved) readLayout(image string, own v1.Platform) error {
	top, err := s.layoutRoot(image)
	if err != nil {
		return err
	}
	w := &walk{saved: s, seen: map[v1.Hash]bool{}}
	whole, err := w.visit(top, 0)
	if err != nil {
		return err
	}
	if !whole && top.MediaType.IsIndex() {
		if top, err = choose(w.images, own); err != nil {
			return err
		}
	}
	s.root = v1.Descriptor{MediaType: top.MediaType, Size: top.Size, Digest: top.Digest}
	return nil
}

// layoutRoot finds the image in index.json.
func (s *saved) layoutRoot(image string) (v1.Descriptor, error) {
	raw, err := s.archive.document(indexFile)
	if err != nil {
		return v1.Descriptor{}, err
	}
	var index v1.IndexManifest
	if err := json.Unmarshal(raw, &index); err != nil {
		return v1.Descriptor{}, &archiveError{indexFile + " cannot be read"}
	}
	digests := map[v1.Hash]v1.Descriptor{}
	for _, d := range index.Manifests {
		if !d.MediaType.IsImage() && !d.MediaType.IsIndex() {
			continue
		}
		if sameName(d.Annotations[imageNameKey], image) {
			return d, nil
		}
		digests[d.Digest] = d
	}
	if len(digests) == 1 {
		for _, d := range digests {
			return d, nil
		}
	}
	return v1.Descriptor{}, &archiveError{fmt.Sprintf("it holds %d images, and none of this name", len(digests))}
}

// A walk goes through all that one manifest or index names.
type walk struct {
	saved  *saved
	seen   map[v1.Hash]bool // whether all of it is here
	images []v1.Descriptor  // those that are here whole
	bytes  int64
}

// visit takes a manifest or index and what it names, and says whether all of
// it is in the archive.
func (w *walk) visit(desc v1.Descriptor, depth int) (whole bool, err error) {
	if whole, ok := w.seen[desc.Digest]; ok {
		return whole, nil
	}
	raw, err := w.manifest(desc)
	if raw == nil || err != nil {
		return false, err
	}
	w.seen[desc.Digest] = false // a manifest cannot name itself, but bytes can claim it
	if desc.MediaType.IsIndex() {
		whole, err = w.index(raw, depth)
	} else {
		whole, err = w.image(raw)
		if whole {
			w.images = append(w.images, desc)
		}
	}
	w.seen[desc.Digest] = whole
	return whole, err
}

// manifest returns the bytes of a manifest or index, nil if it is not here.
func (w *walk) manifest(desc v1.Descriptor) ([]byte, error) {
	e, ok := w.saved.archive.find(blobName(desc.Digest))
	if !ok {
		return nil, nil
	}
	if desc.Digest.Algorithm == e.digest.Algorithm && desc.Digest != e.digest {
		return nil, &transfer.DigestError{What: "manifest", Want: desc.Digest, Got: e.digest}
	}
	if w.bytes += e.size; w.bytes > maxManifests {
		return nil, &archiveError{"it holds too many manifests"}
	}
	raw, err := w.saved.archive.document(blobName(desc.Digest))
	if err != nil {
		return nil, err
	}
	w.saved.manifests[desc.Digest] = raw
	return raw, nil
}

func (w *walk) index(raw []byte, depth int) (whole bool, err error) {
	var m v1.IndexManifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return false, &archiveError{"an index in it cannot be read"}
	}
	if depth >= maxDepth {
		return false, &archiveError{fmt.Sprintf("an index in it lies below %d others", maxDepth)}
	}
	whole = true
	for _, d := range m.Manifests {
		has := false
		if d.MediaType.IsImage() || d.MediaType.IsIndex() {
			has, err = w.visit(d, depth+1)
			if err != nil {
				return false, err
			}
		} else {
			has = w.blob(d)
		}
		whole = whole && has
	}
	return whole, nil
}

func (w *walk) image(raw []byte) (whole bool, err error) {
	var m v1.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return false, &archiveError{"a manifest in it cannot be read"}
	}
	whole = w.blob(m.Config)
	for _, d := range m.Layers {
		has := w.blob(d) || !d.MediaType.IsDistributable()
		whole = whole && has
	}
	return whole, nil
}

// blob takes a blob, if it is in the archive.
func (w *walk) blob(desc v1.Descriptor) bool {
	e, ok := w.saved.archive.find(blobName(desc.Digest))
	if ok {
		w.saved.blobs[desc.Digest] = e
	}
	return ok
}

// choose returns the image for the engine's own platform, or the only one.
func choose(images []v1.Descriptor, own v1.Platform) (v1.Descriptor, error) {
	var runnable []v1.Descriptor
	var have []v1.Platform
	for _, d := range images {
		// BuildKit calls the platform of its attestations unknown.
		if d.Platform == nil || d.Platform.OS == "unknown" {
			continue
		}
		if samePlatform(*d.Platform, own) {
			return d, nil
		}
		runnable = append(runnable, d)
		have = append(have, *d.Platform)
	}
	if len(runnable) == 1 {
		return runnable[0], nil
	}
	return v1.Descriptor{}, &transfer.PlatformError{Want: own, Have: have}
}

// samePlatform compares what images are built for. Engines do not say the
// variant of their processor.
func samePlatform(a, own v1.Platform) bool {
	return a.OS == own.OS && a.Architecture == own.Architecture && (own.Variant == "" || a.Variant == own.Variant)
}
