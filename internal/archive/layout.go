package archive

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/transfer"
)

const (
	maxDepth     = 4        // indexes below one another
	maxManifests = 64 << 20 // bytes of all manifests of an image
)

// A SparseError says that of an index only some images are in the archive, as
// docker save writes it since 29 when only those were pulled. It wraps
// [transfer.ErrNotFound].
type SparseError struct {
	File    string
	Have    []v1.Platform
	Missing []v1.Platform
}

func (e *SparseError) Error() string {
	return fmt.Sprintf("%q has not all of the image: missing %s", e.File, platforms(e.Missing))
}

func (e *SparseError) Unwrap() error { return transfer.ErrNotFound }

func platforms(all []v1.Platform) string {
	if len(all) == 0 {
		return "parts that are no image to run"
	}
	texts := make([]string, len(all))
	for i, p := range all {
		texts[i] = p.String()
	}
	return strings.Join(texts, ", ")
}

// readIndex reads index.json.
func (a *Archive) readIndex() (v1.IndexManifest, error) {
	var index v1.IndexManifest
	raw, err := a.document(indexFile)
	if err != nil {
		return index, err
	}
	if err := json.Unmarshal(raw, &index); err != nil {
		return index, a.bad("%s in it cannot be read", indexFile)
	}
	return index, nil
}

// fromLayout looks what there is of an image that the layout names.
func (a *Archive) fromLayout(ctx context.Context, top v1.Descriptor) (*Image, error) {
	i := a.NewImage()
	i.Root = v1.Descriptor{MediaType: top.MediaType, Size: top.Size, Digest: top.Digest, Platform: top.Platform}
	w := &walk{ctx: ctx, archive: a, image: i, seen: map[v1.Hash]bool{}}
	whole, err := w.visit(top, 0)
	switch {
	case err != nil:
		return nil, err
	case whole:
		return i, nil
	case !top.MediaType.IsIndex():
		return nil, a.bad("it lacks parts of image %s", top.Digest)
	}
	i.Sparse = &SparseError{File: a.name, Have: w.have, Missing: w.missing}
	return i, nil
}

// A walk goes through all that one manifest or index names.
type walk struct {
	ctx           context.Context // that of the one call
	archive       *Archive
	image         *Image
	seen          map[v1.Hash]bool // whether all of it is here
	have, missing []v1.Platform
	bytes         int64
}

// visit says whether all that desc names is in the archive.
func (w *walk) visit(desc v1.Descriptor, depth int) (whole bool, err error) {
	if whole, ok := w.seen[desc.Digest]; ok {
		return whole, nil
	}
	if err := w.ctx.Err(); err != nil {
		return false, err
	}
	w.seen[desc.Digest] = false // a manifest cannot name itself, but bytes can claim it
	if desc.MediaType.IsIndex() {
		whole, err = w.index(desc, depth)
	} else {
		whole, err = w.one(desc)
	}
	w.seen[desc.Digest] = whole
	return whole, err
}

func (w *walk) one(desc v1.Descriptor) (whole bool, err error) {
	var m v1.Manifest
	has, err := w.read(desc, &m)
	if err != nil {
		return false, err
	}
	whole = has
	for _, d := range append([]v1.Descriptor{m.Config}, m.Layers...) {
		here, err := w.has(d)
		if err != nil {
			return false, err
		}
		whole = whole && (here || !d.MediaType.IsDistributable())
	}
	if whole {
		w.image.Whole = append(w.image.Whole, desc)
	} else {
		w.image.partial[desc.Digest] = true
	}
	if p := desc.Platform; p != nil && p.OS != "unknown" { // as BuildKit calls that of its attestations
		if whole {
			w.have = append(w.have, *p)
		} else {
			w.missing = append(w.missing, *p)
		}
	}
	return whole, nil
}

func (w *walk) index(desc v1.Descriptor, depth int) (whole bool, err error) {
	var m v1.IndexManifest
	if whole, err = w.read(desc, &m); err != nil || !whole {
		return false, err
	}
	if depth >= maxDepth {
		return false, w.archive.bad("an index in it lies below %d others", maxDepth)
	}
	for _, d := range m.Manifests {
		look := w.has
		if d.MediaType.IsImage() || d.MediaType.IsIndex() {
			look = func(d v1.Descriptor) (bool, error) { return w.visit(d, depth+1) }
		}
		has, err := look(d)
		if err != nil {
			return false, err
		}
		whole = whole && has
	}
	return whole, nil
}

// has takes a blob, if it is here. Whether its bytes are those that its digest
// names is for [transfer.Copy] to see, but it may have no need to read them.
func (w *walk) has(desc v1.Descriptor) (bool, error) {
	e, ok := w.archive.files.blob(desc.Digest)
	if !ok {
		return false, nil
	}
	if e.size != desc.Size {
		return false, &transfer.DigestError{What: "blob", Want: desc.Digest, Size: e.size, Of: desc.Size}
	}
	w.image.blobs[desc.Digest] = e
	return true, nil
}

// read takes a manifest or index; false if it is not here.
func (w *walk) read(desc v1.Descriptor, into any) (bool, error) {
	e, ok := w.archive.files.blob(desc.Digest)
	if !ok {
		return false, nil
	}
	raw, err := w.archive.small(e)
	if err != nil {
		return false, err
	}
	if w.bytes += e.size; raw == nil || w.bytes > maxManifests {
		return false, w.archive.unsafe("its manifests are too large")
	}
	if got := sum(raw); got.Algorithm == desc.Digest.Algorithm && got != desc.Digest {
		return false, &transfer.DigestError{What: "manifest", Want: desc.Digest, Got: got}
	}
	w.image.manifests[desc.Digest] = raw
	if err := json.Unmarshal(raw, into); err != nil {
		return false, w.archive.bad("manifest %s in it cannot be read", desc.Digest)
	}
	return true, nil
}
