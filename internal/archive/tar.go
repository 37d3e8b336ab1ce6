package archive

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/vicr-cli/vicr/internal/atomicfile"
)

const (
	// fileMode is that of a new archive, as docker save gives it: what is in a
	// private registry is for whoever pulled it.
	fileMode fs.FileMode = 0o600
	inside   int64       = 0o644 // of the files in it
	partName             = ".vicr-part"
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
	part, err := atomicfile.OpenIngest(filepath.Join(filepath.Dir(w.file), "."+filepath.Base(w.file)+partName))
	if err != nil {
		return err
	}
	err = part.Truncate(0) // what a killed run left
	if err == nil {
		err = w.tar(ctx, part)
	}
	if err != nil {
		return errors.Join(err, part.Discard())
	}
	return part.Commit(w.file, mode)
}

// tar writes the files: what says what there is first, so that the archive can be
// read in one pass, then manifests, then all else, each by its digest.
func (w *Writer) tar(ctx context.Context, out io.Writer) error {
	buffered := bufio.NewWriterSize(out, copyBuffer)
	t := tar.NewWriter(buffered)
	documents, err := w.documents()
	if err != nil {
		return err
	}
	for _, d := range documents {
		if err := file(ctx, t, d.name, extent{in: bytes.NewReader(d.data), size: int64(len(d.data))}); err != nil {
			return err
		}
	}
	for _, h := range byDigest(w.manifests) {
		raw := w.manifests[h]
		if err := file(ctx, t, blobName(h), extent{in: bytes.NewReader(raw), size: int64(len(raw))}); err != nil {
			return err
		}
	}
	for _, h := range byDigest(w.blobs) {
		if _, ok := w.manifests[h]; ok {
			continue
		}
		if err := file(ctx, t, blobName(h), w.blobs[h]); err != nil {
			return err
		}
	}
	if err := t.Close(); err != nil {
		return err
	}
	return buffered.Flush()
}

func blobName(h v1.Hash) string { return path.Join(blobFolder, h.Algorithm, h.Hex) }

// file writes one file.
func file(ctx context.Context, t *tar.Writer, name string, e extent) error {
	err := t.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: name, Size: e.size, Mode: inside, ModTime: time.Unix(0, 0),
	})
	if err != nil {
		return err
	}
	reading, writing := pour(ctx, t, e.from(0))
	return errors.Join(reading, writing)
}

type document struct {
	name string
	data []byte
}

// documents are the files that say what is in the archive: an OCI layout, and in
// Docker's format its own list beside it, for engines that know no layouts.
func (w *Writer) documents() ([]document, error) {
	index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{}}
	items := []dockerImage{}
	for _, c := range w.sorted() {
		entry := v1.Descriptor{MediaType: c.root.MediaType, Size: c.root.Size, Digest: c.root.Digest, Platform: c.root.Platform}
		if c.name != "" {
			entry.Annotations = w.annotations(c.name)
		}
		index.Manifests = append(index.Manifests, entry)
		if w.o.Format == Docker {
			item, err := w.item(c)
			if err != nil {
				return nil, err
			}
			items = addItem(items, item)
		}
	}
	var all []document
	var err error
	add := func(name string, v any) {
		data, failed := json.Marshal(v)
		err = errors.Join(err, failed)
		all = append(all, document{name, data})
	}
	add(layoutFile, map[string]string{"imageLayoutVersion": "1.0.0"})
	add(indexFile, index)
	if w.o.Format == Docker {
		add(manifestFile, items)
	}
	return all, err
}

// annotations name an image. Docker writes and reads the tag beside the full
// name; Podman and Skopeo take the full name where Docker has the tag.
func (w *Writer) annotations(name string) map[string]string {
	short := name
	if tag := tagOf(name); w.o.Format == Docker && tag != "" {
		short = tag
	}
	return map[string]string{refName: short, containerdName: name}
}

// item describes an image in Docker's own list.
func (w *Writer) item(c committed) (dockerImage, error) {
	var m v1.Manifest
	if err := json.Unmarshal(w.manifests[c.root.Digest], &m); err != nil {
		return dockerImage{}, err
	}
	item := dockerImage{Config: blobName(m.Config.Digest), RepoTags: []string{}, Layers: []string{}}
	if c.name != "" {
		item.RepoTags = append(item.RepoTags, c.name)
	}
	for _, l := range m.Layers {
		item.Layers = append(item.Layers, blobName(l.Digest))
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
