package archive

import (
	"archive/tar"
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const (
	// fileMode is that of a new archive, as docker save gives it: what is in a
	// private registry is for whoever pulled it.
	fileMode fs.FileMode = 0o600
	inside   int64       = 0o644 // of the files in it
)

// write writes the archive. The caller holds the lock.
func (w *Writer) write(ctx context.Context) error {
	if w.file == "" {
		return w.tar(ctx, w.stream)
	}
	mode, err := w.mode()
	if err != nil {
		return err
	}
	part := w.part
	w.part = nil
	if err := w.tar(ctx, part); err != nil {
		return errors.Join(err, part.Discard())
	}
	return part.Commit(w.file, mode)
}

// tar writes the files: what says what there is first, so that the archive can be
// read in one pass, then manifests, then all else, each by its digest.
func (w *Writer) tar(ctx context.Context, out io.Writer) error {
	buffered := bufio.NewWriterSize(out, copyBuffer)
	t := tar.NewWriter(buffered)
	documents, err := Documents(w.o.Format, w.sorted()...)
	if err != nil {
		return err
	}
	for _, d := range documents {
		if err := file(ctx, t, d.Name, inMemory(d.Data)); err != nil {
			return err
		}
	}
	for _, h := range byDigest(w.manifests) {
		if err := file(ctx, t, BlobName(h), inMemory(w.manifests[h])); err != nil {
			return err
		}
	}
	for _, h := range byDigest(w.blobs) {
		if _, ok := w.manifests[h]; ok {
			continue
		}
		if err := file(ctx, t, BlobName(h), w.blobs[h]); err != nil {
			return err
		}
	}
	if err := t.Close(); err != nil {
		return err
	}
	return buffered.Flush()
}

// BlobName is where a blob lies in an archive.
func BlobName(h v1.Hash) string { return path.Join(blobFolder, h.Algorithm, h.Hex) }

// BlobDigest is that of the blob which lies there.
func BlobDigest(name string) (v1.Hash, bool) {
	rest, ok := strings.CutPrefix(name, blobFolder+"/")
	if !ok {
		return v1.Hash{}, false
	}
	h, err := v1.NewHash(strings.Replace(rest, "/", ":", 1))
	return h, err == nil
}

// file writes one file.
func file(ctx context.Context, t *tar.Writer, name string, e extent) error {
	err := t.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: name, Size: e.size, Mode: inside, ModTime: time.Unix(0, 0),
	})
	if err != nil {
		return err
	}
	return pour(ctx, t, e.from(0), make([]byte, min(copyBuffer, e.size+1)))
}

// A Named image is one that an archive names.
type Named struct {
	Name string // "" for none
	Root v1.Descriptor
	Raw  []byte // the root
}

// A Document is a file that says what is in an archive.
type Document struct {
	Name string
	Data []byte
}

// Documents are those of an archive of images: an OCI layout, and in Docker's
// format its own list beside it, for engines that know no layouts.
func Documents(f Format, images ...Named) ([]Document, error) {
	index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{}}
	var items []dockerImage
	for _, i := range images {
		entry := v1.Descriptor{MediaType: i.Root.MediaType, Size: i.Root.Size, Digest: i.Root.Digest, Platform: i.Root.Platform}
		if i.Name != "" {
			entry.Annotations = annotations(f, i.Name)
		}
		index.Manifests = append(index.Manifests, entry)
		if f == Docker && !i.Root.MediaType.IsIndex() {
			item, err := itemOf(i)
			if err != nil {
				return nil, err
			}
			items = addItem(items, item)
		}
	}
	var all []Document
	var err error
	add := func(name string, v any) {
		data, failed := json.Marshal(v)
		err = errors.Join(err, failed)
		all = append(all, Document{name, data})
	}
	add(layoutFile, map[string]string{"imageLayoutVersion": "1.0.0"})
	add(indexFile, index)
	if len(items) > 0 {
		add(manifestFile, items)
	}
	return all, err
}

// annotations name an image. Docker writes and reads the tag beside the full
// name; Podman and Skopeo take the full name where Docker has the tag.
func annotations(f Format, name string) map[string]string {
	short := name
	if tag := tagOf(name); f == Docker && tag != "" {
		short = tag
	}
	return map[string]string{refName: short, containerdName: name}
}

// itemOf describes an image in Docker's own list.
func itemOf(i Named) (dockerImage, error) {
	var m v1.Manifest
	if err := json.Unmarshal(i.Raw, &m); err != nil {
		return dockerImage{}, err
	}
	item := dockerImage{Config: BlobName(m.Config.Digest), RepoTags: []string{}, Layers: []string{}}
	if i.Name != "" {
		item.RepoTags = append(item.RepoTags, i.Name)
	}
	for _, l := range m.Layers {
		item.Layers = append(item.Layers, BlobName(l.Digest))
	}
	return item, nil
}

// addItem adds an image to Docker's list, or a name to one that is there.
func addItem(items []dockerImage, item dockerImage) []dockerImage {
	for i, known := range items {
		if known.Config == item.Config && slices.Equal(known.Layers, item.Layers) {
			items[i].RepoTags = append(known.RepoTags, item.RepoTags...)
			return items
		}
	}
	return append(items, item)
}
